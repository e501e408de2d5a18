//! `cargo xtask gallery`: a page that shows plans in other places, and a small book with some.

use std::path::PathBuf;
use std::process::Command;

use crate::place::Place;
use crate::planner;
use crate::problem::{Outcome, Problem};
use crate::process;
use crate::product;
use crate::report::{Done, Report};
use crate::tools;

/// Where the book is built.
fn book(place: &Place) -> PathBuf {
    place.target.join("gallery-book")
}

/// Builds what it shows and serves it until it is stopped.
pub(crate) fn run(place: &Place, arguments: &[String]) -> Outcome<()> {
    let port = match arguments {
        [] => 7071,
        [flag, port] if flag == "--port" => port
            .parse::<u16>()
            .map_err(|_| Problem::new("--port takes a number from 0 (any free port) to 65535"))?,
        _ => return Err(Problem::new("`gallery` takes --port N")),
    };
    let mut report = Report::new(tools::STEPS + planner::STEPS + 3);
    tools::install(place, &mut report)?;
    planner::build(place, &mut report)?;
    product::worker(place, &mut report)?;
    report.step("mdBook", |line| tools::mdbook(place, line))?;
    report.step("book", |line| {
        let mut build = Command::new(tools::program(place, "mdbook"));
        build
            .args(["build", "docs/gallery/book", "--dest-dir"])
            .arg(book(place))
            // Its preprocessor is the worker's program.
            .env("PATH", place.path_with(&product::worker_program(place)))
            .current_dir(&place.root);
        process::quiet(&mut build, line, &place.logs())?;
        Ok(Done::Made)
    })?;
    let mut serve = Command::new("node");
    serve
        .args(["docs/gallery/serve.mjs", &port.to_string()])
        .args([planner::folder(place), book(place)])
        .current_dir(&place.root);
    process::shown(&mut serve).map(drop)
}
