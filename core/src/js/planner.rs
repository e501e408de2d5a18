//! The planner for any web page: three functions, plain objects in and out.
//!
//! ```js
//! import init, { analyze, renderSvg } from "./stagewright_core.js";
//! await init();
//! const plan = analyze(dockerfile, { target: "final", buildArgs: { VERSION: "1.2" } });
//! document.body.innerHTML = renderSvg(dockerfile, { theme: "dark" });
//! ```

use js_sys::{Array, Object};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::prelude::*;

use crate::analysis::{self, Input, Options};
use crate::layout::svg::{self, SvgOptions};
use crate::layout::{self, LayoutOptions};
use crate::platform::Platform;

/// The shapes of what goes in and comes out, for TypeScript.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

/// Plans the build of a Dockerfile.
///
/// A Dockerfile with mistakes is planned as far as it can be read: look at `diagnostics`, and whether there is a
/// `definition`. Only an option that makes no sense throws.
///
/// @param source - The text of the Dockerfile.
/// @param options - What `docker build`'s flags would say; all of it may be left out.
/// @returns The stages, what flows between them, all findings, and the build as BuildKit takes it.
/// @throws An `Error` that names the option which could not be read.
#[wasm_bindgen(unchecked_return_type = "Analysis")]
#[expect(
    clippy::needless_pass_by_value,
    reason = "an argument from JavaScript may only be optional by value"
)]
#[expect(clippy::doc_markdown, reason = "these comments are read in TypeScript")]
pub fn analyze(
    source: String,
    #[wasm_bindgen(unchecked_param_type = "Options | null | undefined")] options: JsValue,
) -> Result<JsValue, JsError> {
    let wanted = Wanted::read(&options)?;
    let analysis = analysis::analyze(&Input {
        source,
        options: wanted.plan,
    });
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    analysis
        .serialize(&serializer)
        .map_err(|error| JsError::new(&format!("the plan cannot be shown: {error}")))
}

/// Plans the build of a Dockerfile and tells only what it is: two files with one digest are one build.
///
/// @param source - The text of the Dockerfile.
/// @param options - As for `analyze`.
/// @returns The `digest` of the `definition` that `analyze` gives; `null` where an error stands in its way.
/// @throws An `Error` that names the option which could not be read.
#[wasm_bindgen(js_name = planDigest, unchecked_return_type = "string | null")]
#[expect(
    clippy::needless_pass_by_value,
    reason = "an argument from JavaScript may only be optional by value"
)]
pub fn plan_digest(
    source: String,
    #[wasm_bindgen(unchecked_param_type = "Options | null | undefined")] options: JsValue,
) -> Result<JsValue, JsError> {
    let wanted = Wanted::read(&options)?;
    let analysis = analysis::analyze(&Input {
        source,
        options: wanted.plan,
    });
    let digest = analysis
        .definition
        .map(|definition| definition.digest.to_string());
    Ok(digest.map_or(JsValue::NULL, JsValue::from))
}

/// Draws the build of a Dockerfile: its stages, and what is copied from which to which.
///
/// @param source - The text of the Dockerfile.
/// @param options - As for `analyze`, and how the picture should look.
/// @returns A standalone SVG document. All text in it is escaped; it has no script and loads nothing.
/// @throws An `Error` that names the option which could not be read.
#[wasm_bindgen(js_name = renderSvg)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "an argument from JavaScript may only be optional by value"
)]
pub fn render_svg(
    source: String,
    #[wasm_bindgen(unchecked_param_type = "DrawingOptions | null | undefined")] options: JsValue,
) -> Result<String, JsError> {
    let Wanted { plan, drawing, svg } = Wanted::read(&options)?;
    let analysis = analysis::analyze(&Input {
        source,
        options: plan,
    });
    Ok(svg::render_svg(
        &analysis,
        &layout::layout(&analysis, &drawing),
        &svg,
    ))
}

/// All options there are.
#[derive(Default)]
struct Wanted {
    plan: Options,
    drawing: LayoutOptions,
    svg: SvgOptions,
}

impl Wanted {
    /// Reads options one by one, so that an error can say which of them is at fault.
    fn read(options: &JsValue) -> Result<Self, JsError> {
        let mut wanted = Self::default();
        // Nothing is written at the end of the rows of a picture, so its text may use all of their width.
        wanted.drawing.detail_width = 0.0;
        if options.is_undefined() || options.is_null() {
            return Ok(wanted);
        }
        let Some(object) = options.dyn_ref::<Object>() else {
            return Err(JsError::new(
                "options: expected an object such as { target: \"final\" }",
            ));
        };
        for entry in Object::entries(object) {
            let entry: Array = entry.unchecked_into();
            let (name, value) = (entry.get(0).as_string().unwrap_or_default(), entry.get(1));
            if !value.is_undefined() {
                wanted.set(&name, value)?;
            }
        }
        Ok(wanted)
    }

    fn set(&mut self, name: &str, value: JsValue) -> Result<(), JsError> {
        match name {
            "target" => self.plan.target = option(name, value)?,
            "buildArgs" => self.plan.build_args = option(name, value)?,
            "platform" => self.plan.platform = platform(name, value)?,
            "buildPlatform" => self.plan.build_platform = platform(name, value)?,
            "images" => self.plan.images = option(name, value)?,
            "local" => self.plan.local = option(name, value)?,
            "ignore" => self.plan.ignore = option(name, value)?,
            "contexts" => self.plan.contexts = option(name, value)?,
            "noCache" => self.plan.no_cache = option(name, value)?,
            "namePlatforms" => self.plan.name_platforms = option(name, value)?,
            "theme" => self.svg.theme = option(name, value)?,
            "title" => self.svg.title = option(name, value)?,
            "cardWidth" => self.drawing.card_width = option(name, value)?,
            "direction" => self.drawing.direction = option(name, value)?,
            unknown => {
                return Err(JsError::new(&format!(
                    "options: there is no \"{unknown}\"; there are target, buildArgs, platform, buildPlatform, \
                     images, local, ignore, contexts, noCache and namePlatforms, and for a drawing theme, direction, cardWidth and title"
                )));
            }
        }
        Ok(())
    }
}

fn option<T: DeserializeOwned>(name: &str, value: JsValue) -> Result<T, JsError> {
    serde_wasm_bindgen::from_value(value).map_err(|error| {
        let error = error.to_string();
        JsError::new(&format!(
            "options.{name}: {}",
            error.strip_prefix("Error: ").unwrap_or(&error)
        ))
    })
}

/// A platform as `docker build --platform` takes it, or in parts.
fn platform(name: &str, value: JsValue) -> Result<Option<Platform>, JsError> {
    let Some(text) = value.as_string() else {
        return option(name, value);
    };
    let parts: Vec<&str> = text.split('/').collect();
    let (os, architecture, variant) = match parts.as_slice() {
        [os, architecture] => (*os, *architecture, ""),
        [os, architecture, variant] => (*os, *architecture, *variant),
        _ => {
            return Err(JsError::new(&format!(
                "options.{name}: \"{text}\" is not of the form linux/arm64"
            )));
        }
    };
    Ok(Some(Platform {
        os: os.into(),
        architecture: architecture.into(),
        variant: variant.into(),
        ..Platform::default()
    }))
}
