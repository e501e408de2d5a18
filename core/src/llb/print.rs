//! A definition as people read it.

use std::fmt::Write as _;

use super::definition::CUSTOM_NAME;
use super::{
    Action, Definition, ExecOp, FileAction, FileActionCopy, MountType, NetMode, OpKind, SecurityMode, Vertex,
    Vertices, json,
};

/// One paragraph for each op: its place, digest, kind and name, what it uses, and what it does.
pub fn print(definition: &Definition, vertices: &Vertices) -> String {
    let mut text = String::new();
    for (index, vertex) in vertices.ops.iter().enumerate() {
        op(&mut text, definition, index, vertex);
        text.push('\n');
    }
    // Writing into a String cannot fail.
    _ = match vertices.head {
        Some(head) => writeln!(text, "result: output {} of op {}", head.output, head.vertex),
        None => writeln!(text, "result: nothing, an image without files"),
    };
    text
}

fn op(text: &mut String, definition: &Definition, index: usize, vertex: &Vertex) {
    let kind = vertex.op.kind.as_ref().map_or("terminal", OpKind::name);
    let metadata = definition.metadata_of(vertex.digest.as_str());
    let name = metadata
        .and_then(|metadata| metadata.description.get(CUSTOM_NAME))
        .map_or("", String::as_str);
    _ = writeln!(text, "op {index}  {kind}  {}  {name}", vertex.digest);
    let mut line = |what: &str, said: &str| _ = writeln!(text, "  {what:<9} {said}");
    for (number, edge) in vertex.inputs.iter().enumerate() {
        let output = match edge.output {
            0 => String::new(),
            output => format!(", output {output}"),
        };
        line("uses", &format!("{number}: op {}{output}", edge.vertex));
    }
    if let Some(platform) = &vertex.op.platform {
        let variant = if platform.variant.is_empty() { "" } else { "/" };
        let version = if platform.os_version.is_empty() {
            String::new()
        } else {
            format!("({})", platform.os_version)
        };
        line(
            "platform",
            &format!(
                "{}{version}/{}{variant}{}",
                platform.os, platform.architecture, platform.variant
            ),
        );
    }
    match &vertex.op.kind {
        Some(OpKind::Source(source)) => {
            line("source", &source.identifier);
            for attr in &source.attrs {
                line("attribute", &format!("{}={}", attr.key, attr.value));
            }
        }
        Some(OpKind::Exec(exec)) => process(&mut line, exec),
        Some(OpKind::File(file)) => {
            for action in &file.actions {
                line("does", &file_action(action));
            }
        }
        Some(OpKind::Merge(merge)) => {
            let layers: Vec<String> = merge.inputs.iter().map(|layer| layer.input.to_string()).collect();
            line("merges", &layers.join(", "));
        }
        Some(OpKind::Diff(diff)) => {
            let side = |input: Option<i64>| input.map_or_else(|| "nothing".into(), |input| input.to_string());
            let (lower, upper) = (diff.lower.map(|it| it.input), diff.upper.map(|it| it.input));
            line("changes", &format!("from {} to {}", side(lower), side(upper)));
        }
        Some(OpKind::Build(_) | OpKind::Passthrough(_)) | None => {}
    }
    if let Some(command) = json::command(definition, vertex.digest.as_str()) {
        line("written", command);
    }
    let lines = definition
        .places_of(vertex.digest.as_str())
        .flat_map(|place| &place.ranges)
        .filter_map(|range| Some(range.start?.line.to_string()));
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        line("lines", &lines.join(", "));
    }
    if metadata.is_some_and(|metadata| metadata.ignore_cache) {
        line("cache", "not used");
    }
}

fn process(line: &mut dyn FnMut(&str, &str), exec: &ExecOp) {
    if let Some(meta) = &exec.meta {
        let args: Vec<String> = meta.args.iter().map(|arg| format!("{arg:?}")).collect();
        line("runs", &args.join(" "));
        let user = if meta.user.is_empty() { "root" } else { &meta.user };
        line("as", &format!("{user} in {}", meta.cwd));
        for variable in &meta.env {
            line("variable", &format!("{variable:?}"));
        }
    }
    if exec.network() != NetMode::Unset {
        line(
            "network",
            if exec.network() == NetMode::Host {
                "the host's"
            } else {
                "none"
            },
        );
    }
    if exec.security() == SecurityMode::Insecure {
        line("security", "insecure");
    }
    for mount in &exec.mounts {
        let kind = match mount.mount_type() {
            MountType::Bind if mount.input < 0 => "nothing".to_owned(),
            MountType::Bind => format!("input {}", mount.input),
            MountType::Secret => {
                let id = mount.secret_opt.as_ref().map_or("", |secret| secret.id.as_str());
                format!("secret {id}")
            }
            MountType::Ssh => "an SSH agent".to_owned(),
            MountType::Cache => {
                let id = mount.cache_opt.as_ref().map_or("", |cache| cache.id.as_str());
                format!("cache {id}")
            }
            MountType::Tmpfs => "memory".to_owned(),
        };
        let within = match mount.selector.as_str() {
            "" => String::new(),
            selector => format!(", {selector} of it"),
        };
        let only = if mount.readonly { ", to read" } else { "" };
        line("mount", &format!("{}: {kind}{within}{only}", mount.dest));
    }
    for secret in &exec.secretenv {
        line("secret", &format!("{} as ${}", secret.id, secret.name));
    }
    for device in &exec.cdi_devices {
        line("device", &device.name);
    }
}

fn file_action(action: &FileAction) -> String {
    let onto = match action.input {
        -1 => "onto nothing".to_owned(),
        input => format!("onto {input}"),
    };
    match &action.action {
        Some(Action::Copy(copy)) => self::copy(action, copy, &onto),
        Some(Action::MkFile(file)) => format!(
            "make file {} of {} bytes, mode {:o}, {onto}",
            file.path,
            file.data.len(),
            file.mode
        ),
        Some(Action::MkDir(folder)) => format!("make folder {}, mode {:o}, {onto}", folder.path, folder.mode),
        Some(Action::Rm(rm)) => format!("remove {} {onto}", rm.path),
        Some(Action::Symlink(link)) => format!("link {} to {} {onto}", link.newpath, link.oldpath),
        None => format!("nothing {onto}"),
    }
}

fn copy(action: &FileAction, copy: &FileActionCopy, onto: &str) -> String {
    let mut said = format!(
        "copy {} of {} to {} {onto}",
        copy.src, action.secondary_input, copy.dest
    );
    if copy.mode != -1 && copy.mode_str.is_empty() {
        _ = write!(said, ", mode {:o}", copy.mode);
    }
    if !copy.mode_str.is_empty() {
        _ = write!(said, ", mode {}", copy.mode_str);
    }
    for (word, patterns) in [
        ("only", &copy.include_patterns),
        ("without", &copy.exclude_patterns),
    ] {
        if !patterns.is_empty() {
            _ = write!(said, ", {word} {}", patterns.join(" "));
        }
    }
    if copy.attempt_unpack_docker_compatibility {
        said.push_str(", archives unpacked");
    }
    said
}
