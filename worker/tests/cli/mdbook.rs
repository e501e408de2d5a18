//! `mdbook`: as mdBook calls it.

use crate::{run, run_with};

#[test]
fn it_draws_for_html_and_for_nothing_else() {
    assert_eq!(
        run(&["mdbook", "supports", "html"]),
        (0, String::new(), String::new())
    );
    assert_eq!(run(&["mdbook", "supports", "epub"]).0, 1);
}

#[test]
fn a_book_comes_back_with_its_plans_drawn_and_warnings_beside_it() {
    let text = "A plan:\n\n```dockerfile,plan\nFROM scratch\nCOPPY a /\n```\n";
    let chapter = serde_json::json!({"Chapter": {
        "name": "One", "content": text, "number": [1], "sub_items": [], "path": "one.md", "source_path": "one.md", "parent_names": [],
    }});
    let context = serde_json::json!({
        "root": "/book", "renderer": "html", "mdbook_version": "0.5.4",
        "config": {"preprocessor": {"stagewright": {"playground": "https://play.example/"}}},
    });
    let given = serde_json::json!([context, {"items": [chapter]}]);
    let (code, output, error) = run_with(&["mdbook"], &given.to_string());
    assert_eq!(code, 0, "{error}");
    assert!(error.starts_with("warning: one.md, line 5: "), "{error}");
    let book: serde_json::Value = serde_json::from_str(&output).unwrap();
    let drawn = book["items"][0]["Chapter"]["content"].as_str().unwrap();
    assert!(drawn.starts_with("A plan:\n\n<figure ") && drawn.contains("https://play.example/#s="));
    assert_eq!(
        book["items"][0]["Chapter"]["number"],
        serde_json::json!([1]),
        "the rest stays"
    );
}

#[test]
fn what_is_no_book_is_refused_with_what_to_do() {
    for given in ["", "{}", "[1]", "nonsense"] {
        let (code, output, error) = run_with(&["mdbook"], given);
        assert_eq!((code, output.as_str()), (2, ""), "{given:?}");
        assert!(error.contains("help: ") && error.contains("book.toml"), "{error}");
    }
}
