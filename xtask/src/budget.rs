//! What may not grow unnoticed: the size of the page, of the planner and of the worker.

use std::path::PathBuf;
use std::process::Command;

use crate::insight;
use crate::place::Place;
use crate::planner;
use crate::problem::{About as _, Outcome, Problem};
use crate::process;
use crate::product;
use crate::test;

const KB: u64 = 1000;
const MB: u64 = 1000 * KB;

/// One size and its limit, in bytes.
pub(crate) struct Budget {
    pub(crate) name: &'static str,
    pub(crate) size: u64,
    pub(crate) limit: u64,
}

impl Budget {
    pub(crate) fn kept(&self) -> bool {
        self.size <= self.limit
    }

    /// `page, first load, gzipped: 312.4 of 500 kB`.
    pub(crate) fn sentence(&self) -> String {
        let (unit, name) = if self.limit >= MB { (MB, "MB") } else { (KB, "kB") };
        // One decimal, without floating point.
        let tenths = self.size * 10 / unit;
        format!(
            "{}: {}.{} of {} {name}",
            self.name,
            tenths / 10,
            tenths % 10,
            self.limit / unit
        )
    }
}

/// Measures everything that has been built.
pub(crate) fn measure(place: &Place) -> Outcome<Vec<Budget>> {
    let worker = product::worker_program(place);
    Ok(vec![
        Budget {
            name: "page, all of a first load, gzipped",
            size: gzipped(&first_load(place)?)?,
            limit: 500 * KB,
        },
        Budget {
            name: "planner for any page (.wasm and .js), gzipped",
            size: gzipped(&planner::files(place))?,
            limit: 250 * KB,
        },
        Budget {
            name: "planner and element, gzipped",
            size: gzipped(&planner::files(place))? + gzipped(&[planner::element(place)])?,
            limit: 300 * KB,
        },
        Budget {
            name: "insight module, fetched when first needed (.wasm and .js), gzipped",
            size: gzipped(&insight::modules(place))?,
            limit: 600 * KB,
        },
        Budget {
            name: "worker, release binary",
            size: worker.metadata().about(&worker)?.len(),
            limit: 25 * MB,
        },
    ])
}

/// The page's files that a browser fetches before anyone clicks: asked of a browser.
fn first_load(place: &Place) -> Outcome<Vec<PathBuf>> {
    let mut browser = Command::new("node");
    browser
        .arg("tests/browser/first-load.mjs")
        .current_dir(&place.root);
    test::with_places(&mut browser, place);
    let folder = product::page_folder(place);
    Ok(process::output(&mut browser)?
        .lines()
        .map(|path| folder.join(path))
        .collect())
}

fn gzipped(files: &[PathBuf]) -> Outcome<u64> {
    files.iter().try_fold(0, |sum, file| {
        let mut gzip = Command::new("gzip");
        gzip.args(["--best", "--no-name", "--stdout"]).arg(file);
        let packed = gzip
            .output()
            .map_err(|error| Problem::new(format!("gzip cannot be started: {error}")))?;
        if packed.status.success() && !packed.stdout.is_empty() {
            Ok(sum + packed.stdout.len() as u64)
        } else {
            Err(Problem::new(format!("gzip failed on {}", file.display())))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_at_its_limit_is_within_budget() {
        let budget = Budget {
            name: "page",
            size: 500_000,
            limit: 500 * KB,
        };
        assert!(budget.kept());
        assert_eq!(budget.sentence(), "page: 500.0 of 500 kB");
    }

    #[test]
    fn one_byte_more_is_not() {
        assert!(
            !Budget {
                name: "page",
                size: 500_001,
                limit: 500 * KB
            }
            .kept()
        );
    }
}
