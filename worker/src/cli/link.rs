//! Share links, packed as the playground packs and opens them: `core::link` says what is in one.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use stagewright_core::link::{Link, MAX_JSON, VERSION, checksum};

/// The fragment of an address: `#s=…`. What no page would open is refused.
pub(super) fn fragment(link: &Link) -> std::io::Result<String> {
    let json = serde_json::to_vec(link)?;
    if json.len() > MAX_JSON {
        return Err(std::io::Error::other(
            "it is too long for a link, which holds 1 MiB and no more",
        ));
    }
    let mut whole = vec![VERSION];
    whole.extend(checksum(&json).to_be_bytes());
    let mut deflated = DeflateEncoder::new(whole, Compression::best());
    deflated.write_all(&json)?;
    Ok(format!("#s={}", URL_SAFE_NO_PAD.encode(deflated.finish()?)))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn unpacked(fragment: &str) -> Link {
        let packed = fragment.strip_prefix("#s=").unwrap();
        let whole = URL_SAFE_NO_PAD.decode(packed).unwrap();
        let (head, deflated) = whole.split_at(5);
        let mut json = Vec::new();
        flate2::read::DeflateDecoder::new(deflated)
            .take(MAX_JSON as u64)
            .read_to_end(&mut json)
            .unwrap();
        assert_eq!(head.first(), Some(&1));
        assert_eq!(head.get(1..).unwrap(), checksum(&json).to_be_bytes());
        serde_json::from_slice(&json).unwrap()
    }

    /// The same links are opened by the page's tests, natively and in a browser.
    #[test]
    fn links_that_were_made_once_are_read_for_ever() {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/links.json");
        let kept: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
        assert!(kept.len() >= 4);
        for case in kept {
            let link: Link = serde_json::from_value(case["link"].clone()).unwrap();
            assert_eq!(
                unpacked(case["fragment"].as_str().unwrap()),
                link,
                "{}",
                case["name"]
            );
            // Another program may deflate otherwise; what comes out is the same.
            assert_eq!(unpacked(&fragment(&link).unwrap()), link);
        }
    }

    #[test]
    fn what_no_page_would_open_is_not_packed() {
        let link = |length| Link {
            target: "x".repeat(length),
            ..Link::default()
        };
        let around = serde_json::to_vec(&link(1)).unwrap().len() - 1;
        assert_eq!(
            unpacked(&fragment(&link(MAX_JSON - around)).unwrap())
                .target
                .len(),
            MAX_JSON - around
        );
        let refused = fragment(&link(MAX_JSON - around + 1)).unwrap_err();
        assert!(refused.to_string().contains("too long for a link"), "{refused}");
    }
}
