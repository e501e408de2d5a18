//! `USER`: who runs the steps that follow, and the image.

use crate::diagnostic::Problem;
use crate::instruction::user::User;
use crate::plan::build::Step;

pub(super) fn lower(step: &mut Step<'_, '_>, user: &User) -> Result<(), Problem> {
    let user = step.expand_word(&user.user)?;
    step.commit(format!("USER {user}"), false);
    step.build.image.config.user.clone_from(&user);
    step.build.user = user;
    Ok(())
}
