//! `ENV`: sets variables for the rest of the stage and for the image.

use std::borrow::Cow;

use crate::diagnostic::Problem;
use crate::instruction::env::Env;
use crate::plan::build::Step;
use crate::syntax::Pair;

pub(super) fn lower(step: &mut Step<'_, '_>, env: &Env) -> Result<(), Problem> {
    let pairs = expand_pairs(step, &env.pairs)?;
    let mut done = String::from("ENV");
    for (key, value) in pairs {
        for part in [" ", &key, "=", &value] {
            done.push_str(part);
        }
        step.build.image.set_env(&key, &value);
        step.build.env.set(&key, &value);
    }
    step.commit(done, false);
    Ok(())
}

/// A name and a value, worked out.
type Expanded<'t> = (Cow<'t, str>, Cow<'t, str>);

/// Works out all names and values before any of them is set: `ENV a=1 b=$a` uses the `a` from before.
pub(super) fn expand_pairs<'t>(step: &Step<'_, '_>, pairs: &'t [Pair]) -> Result<Vec<Expanded<'t>>, Problem> {
    let pair = |pair: &'t Pair| match (step.expand(&pair.key), step.expand(&pair.value)) {
        (Ok(key), Ok(value)) => Ok((key, value)),
        (Err(problem), _) | (_, Err(problem)) => Err(problem.at(pair.span)),
    };
    pairs.iter().map(pair).collect()
}
