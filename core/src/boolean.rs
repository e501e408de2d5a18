//! Booleans as Go reads them (`strconv.ParseBool`), for those who write Dockerfiles and Docker's flags are used to that.

/// `1`, `t`, `T`, `TRUE`, `true` and `True` are true, and their opposites false; everything else is neither.
pub fn read(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_as_go_reads_them() {
        for (text, meant) in [
            ("1", Some(true)),
            ("t", Some(true)),
            ("TRUE", Some(true)),
            ("False", Some(false)),
            ("F", Some(false)),
            ("0", Some(false)),
            ("tRUE", None),
            ("yes", None),
            (" 1", None),
            ("", None),
        ] {
            assert_eq!(read(text), meant, "{text:?}");
        }
    }
}
