//! `LABEL`: names and values that go with the image.

use crate::diagnostic::Problem;
use crate::instruction::label::Label;
use crate::plan::build::Step;

use super::env::expand_pairs;

pub(super) fn lower(step: &mut Step<'_, '_>, label: &Label) -> Result<(), Problem> {
    let pairs = expand_pairs(step, &label.pairs)?;
    let mut done = String::from("LABEL");
    for (key, value) in pairs {
        for part in [" ", &key, "=", &value] {
            done.push_str(part);
        }
        let labels = &mut step.build.image.config.labels;
        labels.insert(key.into_owned(), value.into_owned());
    }
    step.commit(done, false);
    Ok(())
}
