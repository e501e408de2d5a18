//! `USER`: who runs the steps that follow, and the image.

use crate::diagnostic::Problem;
use crate::instruction::user::User;
use crate::plan::build::Step;

pub(super) fn lower(step: &mut Step<'_, '_>, user: &User) -> Result<(), Problem> {
    let user = step.expand_word(&user.user)?;
    step.commit(["USER ", &user].concat(), false);
    for place in [&mut step.build.image.config.user, &mut step.build.user] {
        user.as_ref().clone_into(place);
    }
    Ok(())
}
