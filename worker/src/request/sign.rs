//! Proof that a message comes from whoever shares a key, and is as it was sent: HMAC-SHA256.

use std::fmt;

use ring::hmac;
use stagewright_core::digest::Digest;
use subtle::ConstantTimeEq as _;

use crate::source::secret::Secret;

/// What stands before the digits of a signature, as GitHub has it.
const SCHEME: &str = "sha256=";

/// A key that is shared with somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Secret);

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey")
    }
}

impl SigningKey {
    /// This key.
    pub fn new(key: Vec<u8>) -> Self {
        Self(Secret::new(key))
    }

    pub(crate) fn reveal(&self) -> &[u8] {
        self.0.reveal()
    }

    /// `sha256=` and the digits for the parts of a message, one after the other.
    pub fn sign(&self, parts: &[&[u8]]) -> String {
        format!("{SCHEME}{}", self.mac(parts).hex())
    }

    /// Whether `signature` is that of the message. How long it takes says nothing of how much of it is right.
    pub fn verifies(&self, parts: &[&[u8]], signature: &str) -> bool {
        // Worked out in any case, so that a text that is none takes as long.
        let right = self.mac(parts);
        let given = signature.strip_prefix(SCHEME).map(str::to_ascii_lowercase);
        given.is_some_and(|given| given.as_bytes().ct_eq(right.hex().as_bytes()).into())
    }

    fn mac(&self, parts: &[&[u8]]) -> Digest {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.reveal());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(part);
        }
        // 32 bytes of SHA-256, as those of a content are.
        Digest::from_raw(context.sign().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_others_make() {
        // RFC 4231, test case 2.
        let key = SigningKey::new(b"Jefe".to_vec());
        let signature = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let message: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        assert_eq!(key.sign(&message), signature);
        assert!(key.verifies(&message, signature));
        assert!(key.verifies(&message, &signature.to_uppercase().replace("SHA", "sha")));
    }

    #[test]
    fn what_is_not_the_signature_does_not_pass() {
        let key = SigningKey::new(b"key".to_vec());
        let right = key.sign(&[b"body"]);
        assert!(!key.verifies(&[b"bodY"], &right));
        assert!(!SigningKey::new(b"kez".to_vec()).verifies(&[b"body"], &right));
        for wrong in [
            "",
            "sha256=",
            &right[..right.len() - 1],
            &right.replace("sha256=", "sha1="),
            &format!("{}+1", &right[..right.len() - 2]),
            &format!("{}é", &right[..right.len() - 2]),
            &format!("{right}00"),
        ] {
            assert!(!key.verifies(&[b"body"], wrong), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "SigningKey");
    }
}
