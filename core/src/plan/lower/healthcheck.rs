//! `HEALTHCHECK`: how to tell that the image's process is well.

use crate::image;
use crate::instruction::healthcheck::Healthcheck;
use crate::plan::build::Step;
use crate::plan::go;

pub(super) fn lower(step: &mut Step<'_, '_>, healthcheck: &Healthcheck) {
    let Healthcheck {
        test,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    } = healthcheck.clone();
    let done = format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{retries}}}",
        go::list(&test),
        go::duration(interval),
        go::duration(timeout),
        go::duration(start_period),
        go::duration(start_interval),
    );
    step.commit(done, false);
    step.build.image.config.healthcheck = Some(image::Healthcheck {
        test,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    });
}
