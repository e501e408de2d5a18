use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn scopes(scopes: &[Scope]) -> Scopes {
    scopes.iter().copied().collect()
}

#[test]
fn a_token_is_shown_once_and_kept_as_a_hash_for_its_owner_only() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(state.path());
    let (text, token) = tokens.create(Some("ci"), scopes(&[Scope::Build]), None).unwrap();
    assert!(text.starts_with("sw_") && text.len() == 46, "{text}");
    let path = state.path().join("tokens.json");
    let kept = fs::read_to_string(&path).unwrap();
    assert!(!kept.contains(&text) && !kept.contains(&text[3..]), "{kept}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(tokens.list().unwrap(), [token]);
}

#[test]
fn a_verifier_sees_at_once_what_was_made_and_what_was_revoked() {
    let state = tempfile::tempdir().unwrap();
    let verifier = Verifier::open(state.path()).unwrap();
    assert!(!verifier.any());
    let tokens = Tokens::of(state.path());
    let (ci, made) = tokens.create(Some("ci"), scopes(&[Scope::Plan]), None).unwrap();
    let (other, _) = tokens.create(None, scopes(&[Scope::Admin]), None).unwrap();
    assert!(verifier.any());
    let bearer = verifier.verify(&ci).unwrap();
    assert_eq!(bearer.id, made.id);
    assert!(bearer.scopes.allow(Scope::Plan) && !bearer.scopes.allow(Scope::Build));
    assert!(verifier.verify(&other).unwrap().scopes.allow(Scope::Push));
    for wrong in ["", "sw_", &ci[3..], &format!("{ci}x"), &made.id, &made.sha256] {
        assert_eq!(verifier.verify(wrong), None, "{wrong}");
    }
    tokens.revoke("ci").unwrap();
    assert_eq!(verifier.verify(&ci), None);
    assert!(verifier.verify(&other).is_some());
    assert!(matches!(tokens.revoke("ci"), Err(TokenError::Unknown(_))));
}

#[test]
fn tokens_that_could_not_be_read_are_read_again_when_they_can() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(state.path());
    let (ci, _) = tokens.create(Some("ci"), scopes(&[Scope::Plan]), None).unwrap();
    let verifier = Verifier::open(state.path()).unwrap();
    // Nothing tells these states of the file from each other: its reading fails, and then it does not.
    let path = state.path().join("tokens.json");
    let good = fs::read(&path).unwrap();
    let then = std::time::SystemTime::now();
    for (content, is_good) in [(vec![b'x'; good.len()], false), (good, true)] {
        fs::write(&path, content).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(then)
            .unwrap();
        assert_eq!(verifier.verify(&ci).is_some(), is_good);
    }
}

#[test]
fn who_may_build_may_plan_and_nobody_else_may_more_than_is_written() {
    use Scope::{Admin, Build, Plan, Push};
    let all = [Plan, Build, Push, Admin];
    for (has, may) in [
        (&[Plan][..], &[Plan][..]),
        (&[Build], &[Plan, Build]),
        (&[Push], &[Push]),
        (&[Build, Push], &[Plan, Build, Push]),
        (&[Admin], &all),
        (&[], &[]),
    ] {
        for scope in all {
            assert_eq!(scopes(has).allow(scope), may.contains(&scope), "{has:?} {scope}");
        }
    }
}

#[test]
fn a_token_ends_with_its_time() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(state.path());
    let verifier = Verifier::open(state.path()).unwrap();
    let (over, token) = tokens
        .create(None, scopes(&[Scope::Admin]), Some(Duration::ZERO))
        .unwrap();
    assert!(token.expired(OffsetDateTime::now_utc()));
    assert_eq!(verifier.verify(&over), None);
    assert!(!verifier.any());
    let (good, token) = tokens
        .create(None, scopes(&[Scope::Admin]), Some(Duration::MAX))
        .unwrap();
    assert!(token.expires.is_some());
    assert!(verifier.verify(&good).is_some());
    let unreadable = Token {
        expires: Some("soon".into()),
        ..token
    };
    assert!(unreadable.expired(OffsetDateTime::now_utc()));
}

#[test]
fn the_day_of_use_is_noted_once() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(state.path());
    let verifier = Verifier::open(state.path()).unwrap();
    let (text, token) = tokens.create(None, scopes(&[Scope::Plan]), None).unwrap();
    assert!(verifier.verify(&text).unwrap().first_today);
    verifier.note_use(&token.id);
    assert!(!verifier.verify(&text).unwrap().first_today);
    let used = tokens.list().unwrap().remove(0).last_used.unwrap();
    assert_eq!(used.len(), "2026-01-01".len(), "{used}");
}

#[test]
fn names_are_one_of_a_kind_and_printable() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(state.path());
    let (_, first) = tokens.create(Some("ci"), Scopes::default(), None).unwrap();
    for name in ["ci", first.id.as_str(), "", "a\nb", &"x".repeat(65)] {
        let refused = tokens.create(Some(name), Scopes::default(), None);
        assert!(matches!(refused, Err(TokenError::Name(_))), "{name:?}");
    }
    assert_eq!(tokens.list().unwrap().len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_lets_nobody_in() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(state.path());
    let verifier = Verifier::open(state.path()).unwrap();
    let (text, _) = tokens.create(None, scopes(&[Scope::Admin]), None).unwrap();
    assert!(verifier.verify(&text).is_some());
    fs::write(state.path().join("tokens.json"), "{").unwrap();
    assert_eq!(verifier.verify(&text), None);
    assert!(matches!(
        Verifier::open(state.path()),
        Err(TokenError::Broken { .. })
    ));
}

#[test]
fn commands_at_the_same_time_lose_nothing() {
    let state = tempfile::tempdir().unwrap();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                Tokens::of(state.path())
                    .create(None, Scopes::default(), None)
                    .unwrap()
            });
        }
    });
    assert_eq!(Tokens::of(state.path()).list().unwrap().len(), 8);
}
