//! A definition as JSON, in the words of BuildKit's own: what is zero, false or empty is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::definition::{COMMAND, CUSTOM_NAME, Range};
use super::{
    Action, ChownOpt, Definition, Edge, ExecOp, FileAction, FileActionCopy, Mount, Op, OpKind, Platform,
    User, UserOpt, Vertex, Vertices,
};

/// Every op with what is known of it, in the order of the definition, the terminal op last.
///
/// An op has `digest`, `kind`, `inputs` (`"op:output"` by index), `platform`, `op` (what it does), and, from its
/// metadata and the source map, `name`, `description`, `caps`, `lines`, `ignoreCache` and `progressGroup`.
pub fn to_json(definition: &Definition, vertices: &Vertices) -> Value {
    let mut ops: Vec<Value> = vertices
        .ops
        .iter()
        .map(|vertex| op_json(definition, vertex))
        .collect();
    if let Some((head, terminal)) = vertices.head.zip(definition.ops.last()) {
        let mut object = Object::default();
        let digest = crate::digest::Digest::of(terminal);
        object.text("digest", digest.as_str());
        object.text("kind", "return");
        object.set("inputs", json!([place(&head)]));
        known(&mut object, definition, digest.as_str());
        ops.push(object.into());
    }
    Value::Array(ops)
}

fn place(edge: &Edge) -> String {
    format!("{}:{}", edge.vertex, edge.output)
}

fn op_json(definition: &Definition, vertex: &Vertex) -> Value {
    let mut object = Object::default();
    object.text("digest", vertex.digest.as_str());
    object.text("kind", vertex.op.kind.as_ref().map_or("return", OpKind::name));
    let inputs: Vec<Value> = vertex.inputs.iter().map(|edge| place(edge).into()).collect();
    object.list("inputs", inputs);
    object.object("platform", vertex.op.platform.as_ref().map(platform));
    object.set("op", work(&vertex.op));
    known(&mut object, definition, vertex.digest.as_str());
    object.into()
}

/// What is known of an op beside what it does.
fn known(object: &mut Object, definition: &Definition, digest: &str) {
    if let Some(metadata) = definition.metadata_of(digest) {
        if let Some(name) = metadata.description.get(CUSTOM_NAME) {
            object.text("name", name);
        }
        let rest = metadata.description.iter().filter(|(key, _)| *key != CUSTOM_NAME);
        let rest: Map<String, Value> = rest
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect();
        if !rest.is_empty() {
            object.set("description", Value::Object(rest));
        }
        let caps = metadata.caps.iter().filter(|(_, needed)| **needed);
        object.list("caps", caps.map(|(cap, _)| cap.as_str().into()).collect());
        object.flag("ignoreCache", metadata.ignore_cache);
        if let Some(group) = &metadata.progress_group {
            object.set(
                "progressGroup",
                json!({ "id": group.id, "name": group.name, "weak": group.weak }),
            );
        }
    }
    let range = |range: &Range| {
        let (start, end) = (range.start.unwrap_or_default(), range.end.unwrap_or_default());
        format!(
            "{}:{}-{}:{}",
            start.line, start.character, end.line, end.character
        )
    };
    let lines = definition.places_of(digest).map(|place| {
        let ranges: Vec<String> = place.ranges.iter().map(range).collect();
        Value::from(ranges.join(","))
    });
    object.list("lines", lines.collect());
}

/// The instruction that an op was written as, where that is known.
pub(super) fn command<'d>(definition: &'d Definition, digest: &str) -> Option<&'d str> {
    let metadata = definition.metadata_of(digest)?;
    let command = metadata.description.get(COMMAND)?;
    Some(command)
        .filter(|command| !command.is_empty())
        .map(String::as_str)
}

/// What an op does.
fn work(op: &Op) -> Value {
    match &op.kind {
        Some(OpKind::Exec(exec)) => self::exec(exec),
        Some(OpKind::Source(source)) => {
            let mut object = Object::default();
            object.text("identifier", &source.identifier);
            let attrs: Map<String, Value> = source
                .attrs
                .iter()
                .map(|attr| (attr.key.clone(), Value::from(attr.value.as_str())))
                .collect();
            if !attrs.is_empty() {
                object.set("attrs", Value::Object(attrs));
            }
            object.into()
        }
        Some(OpKind::File(file)) => {
            json!({ "actions": file.actions.iter().map(action).collect::<Vec<_>>() })
        }
        Some(OpKind::Merge(merge)) => {
            let input = |input: &super::MergeInput| {
                let mut object = Object::default();
                object.number("input", input.input);
                Value::from(object)
            };
            json!({ "inputs": merge.inputs.iter().map(input).collect::<Vec<_>>() })
        }
        Some(OpKind::Diff(diff)) => {
            let side = |input: Option<i64>| {
                let mut object = Object::default();
                object.number("input", input.unwrap_or_default());
                Value::from(object)
            };
            json!({ "lower": side(diff.lower.map(|lower| lower.input)), "upper": side(diff.upper.map(|upper| upper.input)) })
        }
        Some(OpKind::Build(_) | OpKind::Passthrough(_)) | None => json!({}),
    }
}

fn platform(platform: &Platform) -> Value {
    let mut object = Object::default();
    object.text("Architecture", &platform.architecture);
    object.text("OS", &platform.os);
    object.text("Variant", &platform.variant);
    object.text("OSVersion", &platform.os_version);
    object.texts("OSFeatures", &platform.os_features);
    object.into()
}

fn exec(exec: &ExecOp) -> Value {
    let mut object = Object::default();
    if let Some(meta) = &exec.meta {
        let mut process = Object::default();
        process.texts("args", &meta.args);
        process.texts("env", &meta.env);
        process.text("cwd", &meta.cwd);
        process.text("user", &meta.user);
        if let Some(proxy) = &meta.proxy_env {
            let mut variables = Object::default();
            variables.text("http_proxy", &proxy.http_proxy);
            variables.text("https_proxy", &proxy.https_proxy);
            variables.text("ftp_proxy", &proxy.ftp_proxy);
            variables.text("no_proxy", &proxy.no_proxy);
            variables.text("all_proxy", &proxy.all_proxy);
            process.set("proxy_env", variables.into());
        }
        let hosts = meta.extra_hosts.iter();
        process.list(
            "extraHosts",
            hosts
                .map(|host| json!({ "Host": host.host, "IP": host.ip }))
                .collect(),
        );
        process.text("hostname", &meta.hostname);
        let limits = meta.ulimit.iter();
        let limit =
            |limit: &super::Ulimit| json!({ "Name": limit.name, "Soft": limit.soft, "Hard": limit.hard });
        process.list("ulimit", limits.map(limit).collect());
        process.text("cgroupParent", &meta.cgroup_parent);
        process.flag("removeMountStubsRecursive", meta.remove_mount_stubs_recursive);
        process.list(
            "validExitCodes",
            meta.valid_exit_codes.iter().map(|&code| code.into()).collect(),
        );
        object.set("meta", process.into());
    }
    object.list("mounts", exec.mounts.iter().map(mount).collect());
    object.number("network", exec.network.into());
    object.number("security", exec.security.into());
    let secret = |secret: &super::SecretEnv| {
        let mut object = Object::default();
        object.text("ID", &secret.id);
        object.text("name", &secret.name);
        object.flag("optional", secret.optional);
        Value::from(object)
    };
    object.list("secretenv", exec.secretenv.iter().map(secret).collect());
    let device = |device: &super::CdiDevice| {
        let mut object = Object::default();
        object.text("name", &device.name);
        object.flag("optional", device.optional);
        Value::from(object)
    };
    object.list("cdiDevices", exec.cdi_devices.iter().map(device).collect());
    object.into()
}

fn mount(mount: &Mount) -> Value {
    let mut object = Object::default();
    object.number("input", mount.input);
    object.text("selector", &mount.selector);
    object.text("dest", &mount.dest);
    object.number("output", mount.output);
    object.flag("readonly", mount.readonly);
    object.number("mountType", mount.mount_type.into());
    object.object(
        "TmpfsOpt",
        mount.tmpfs_opt.map(|options| {
            let mut object = Object::default();
            object.number("size", options.size);
            object.into()
        }),
    );
    object.object(
        "cacheOpt",
        mount.cache_opt.as_ref().map(|options| {
            let mut object = Object::default();
            object.text("ID", &options.id);
            object.number("sharing", options.sharing.into());
            object.into()
        }),
    );
    let owned = |id: &str, uid: u32, gid: u32, mode: u32, optional: bool| {
        let mut object = Object::default();
        object.text("ID", id);
        object.number("uid", uid.into());
        object.number("gid", gid.into());
        object.number("mode", mode.into());
        object.flag("optional", optional);
        Value::from(object)
    };
    let secret = mount.secret_opt.as_ref();
    object.object(
        "secretOpt",
        secret.map(|secret| owned(&secret.id, secret.uid, secret.gid, secret.mode, secret.optional)),
    );
    let ssh = mount.ssh_opt.as_ref();
    object.object(
        "SSHOpt",
        ssh.map(|ssh| owned(&ssh.id, ssh.uid, ssh.gid, ssh.mode, ssh.optional)),
    );
    object.text("resultID", &mount.result_id);
    object.number("contentCache", mount.content_cache.into());
    object.into()
}

fn action(action: &FileAction) -> Value {
    let mut object = Object::default();
    let kind = match &action.action {
        None => None,
        Some(Action::Copy(copy)) => Some(("copy", self::copy(copy))),
        Some(Action::MkFile(file)) => {
            object.text("path", &file.path);
            object.number("mode", file.mode.into());
            object.text("data", &STANDARD.encode(&file.data));
            object.object("owner", file.owner.as_ref().map(owner));
            object.number("timestamp", file.timestamp);
            Some(("mkfile", std::mem::take(&mut object).into()))
        }
        Some(Action::MkDir(folder)) => {
            object.text("path", &folder.path);
            object.number("mode", folder.mode.into());
            object.flag("makeParents", folder.make_parents);
            object.object("owner", folder.owner.as_ref().map(owner));
            object.number("timestamp", folder.timestamp);
            Some(("mkdir", std::mem::take(&mut object).into()))
        }
        Some(Action::Rm(rm)) => {
            object.text("path", &rm.path);
            object.flag("allowNotFound", rm.allow_not_found);
            object.flag("allowWildcard", rm.allow_wildcard);
            Some(("rm", std::mem::take(&mut object).into()))
        }
        Some(Action::Symlink(link)) => {
            object.text("oldpath", &link.oldpath);
            object.text("newpath", &link.newpath);
            object.object("owner", link.owner.as_ref().map(owner));
            object.number("timestamp", link.timestamp);
            Some(("symlink", std::mem::take(&mut object).into()))
        }
    };
    let mut named = Object::default();
    if let Some((name, value)) = kind {
        named.set(name, value);
    }
    json!({
        "input": action.input,
        "secondaryInput": action.secondary_input,
        "output": action.output,
        "Action": Value::from(named),
    })
}

fn copy(copy: &FileActionCopy) -> Value {
    let mut object = Object::default();
    object.text("src", &copy.src);
    object.text("dest", &copy.dest);
    object.object("owner", copy.owner.as_ref().map(owner));
    object.number("mode", copy.mode.into());
    object.flag("followSymlink", copy.follow_symlink);
    object.flag("dirCopyContents", copy.dir_copy_contents);
    object.flag(
        "attemptUnpackDockerCompatibility",
        copy.attempt_unpack_docker_compatibility,
    );
    object.flag("createDestPath", copy.create_dest_path);
    object.flag("allowWildcard", copy.allow_wildcard);
    object.flag("allowEmptyWildcard", copy.allow_empty_wildcard);
    object.number("timestamp", copy.timestamp);
    object.texts("include_patterns", &copy.include_patterns);
    object.texts("exclude_patterns", &copy.exclude_patterns);
    object.flag(
        "alwaysReplaceExistingDestPaths",
        copy.always_replace_existing_dest_paths,
    );
    object.text("modeStr", &copy.mode_str);
    object.texts("required_paths", &copy.required_paths);
    object.into()
}

fn owner(owner: &ChownOpt) -> Value {
    let mut object = Object::default();
    object.object("user", owner.user.as_ref().map(user));
    object.object("group", owner.group.as_ref().map(user));
    object.into()
}

fn user(user: &UserOpt) -> Value {
    let mut object = Object::default();
    match &user.user {
        Some(User::ByName(named)) => {
            let mut name = Object::default();
            name.text("name", &named.name);
            name.number("input", named.input);
            object.set("byName", name.into());
        }
        Some(User::ById(id)) => object.number("byId", i64::from(*id)),
        None => {}
    }
    json!({ "User": Value::from(object) })
}

/// An object that says only what is not zero.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn set(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.set(key, text.into());
        }
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        self.list(key, texts.iter().map(|text| text.as_str().into()).collect());
    }

    fn number(&mut self, key: &str, number: i64) {
        if number != 0 {
            self.set(key, number.into());
        }
    }

    fn flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.set(key, true.into());
        }
    }

    fn list(&mut self, key: &str, list: Vec<Value>) {
        if !list.is_empty() {
            self.set(key, list.into());
        }
    }

    fn object(&mut self, key: &str, object: Option<Value>) {
        if let Some(object) = object {
            self.set(key, object);
        }
    }
}

impl From<Object> for Value {
    fn from(Object(map): Object) -> Self {
        Self::Object(map)
    }
}
