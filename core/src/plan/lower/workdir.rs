//! `WORKDIR`: where the steps that follow run, and the image. It makes the directory.

use crate::diagnostic::Problem;
use crate::instruction::workdir::Workdir;
use crate::llb::{Action, FileActionMkDir};
use crate::plan::build::{Build, Step};
use crate::plan::graph::{ActionPlan, Work};
use crate::plan::path;

use super::files::owner;

pub(super) fn lower(step: &mut Step<'_, '_>, workdir: &Workdir) -> Result<(), Problem> {
    let written = step.expand_word(&workdir.path)?;
    enter(step.build, &written).map_err(|problem| problem.at(workdir.path.span))?;
    let dir = step.build.dir.clone();
    let makes = dir != "/";
    if makes {
        let name = step.printed(&step.command.statement.code);
        let name = step.next_name(&name);
        let user = &step.build.image.config.user;
        let action = Action::MkDir(FileActionMkDir {
            path: path::in_action(&dir, dir.clone(), false),
            mode: 0o755,
            make_parents: true,
            owner: if user.is_empty() { None } else { Some(owner(user)) },
            timestamp: step
                .shared
                .epoch
                .map_or(-1, crate::plan::epoch::Epoch::nanoseconds),
        });
        let base = step.build.output;
        let work = Work::File {
            base,
            actions: vec![ActionPlan { action, source: None }],
        };
        step.build.output = Some(step.add_kept(work, name));
    }
    step.commit(["WORKDIR ", &dir].concat(), makes);
    Ok(())
}

/// Changes the directory of a stage and of its image.
pub(in crate::plan) fn enter(build: &mut Build, written: &str) -> Result<(), Problem> {
    let os = &build.platform.os;
    let dir = path::normalize(&build.image.config.working_dir, written, os, false)?;
    build.image.config.working_dir = if os == "windows" {
        dir.replace('/', "\\")
    } else {
        dir.clone()
    };
    build.dir = dir;
    Ok(())
}
