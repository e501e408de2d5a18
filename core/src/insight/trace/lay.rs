//! Laying the vertices of a log over the ops of a plan.
//!
//! An op's digest is stable as long as nothing below it comes from a local directory: that source holds the id of the
//! client's session, so its digest and those of all that follows differ from build to build. Where digests say
//! nothing, structure does: an op and a vertex of one name whose inputs belong together belong together.

use std::collections::BTreeMap;

use super::super::ops::Ops;
use super::MatchedBy;
use super::log::Log;

/// Which vertex belongs to which op.
pub(super) struct Laid {
    /// By op.
    pub(super) vertices: Vec<Option<(usize, MatchedBy)>>,
    /// By vertex.
    pub(super) ops: Vec<Option<usize>>,
}

/// The two graphs, with names made comparable.
struct Sides<'a> {
    ops: &'a Ops<'a>,
    /// By vertex; an input that the log does not speak of is out of range.
    inputs: Vec<Vec<usize>>,
    laid: Laid,
}

/// Lays `log` over `ops`.
pub(super) fn lay(ops: &Ops<'_>, log: &Log) -> Laid {
    let inputs = log.vertices.iter().map(|vertex| {
        let inputs = vertex.inputs.iter();
        inputs
            .map(|input| log.index(input).unwrap_or(usize::MAX))
            .collect()
    });
    let mut sides = Sides {
        ops,
        inputs: inputs.collect(),
        laid: Laid {
            vertices: vec![None; ops.len()],
            ops: vec![None; log.vertices.len()],
        },
    };
    for (op, planned) in ops.list.iter().enumerate() {
        if let Some(vertex) = log.index(planned.digest.as_str()) {
            sides.pair(op, vertex, MatchedBy::Digest);
        }
    }
    // First by the whole name, then without the numbers of steps, which change when a step is added elsewhere.
    for normal in [exact as fn(&str) -> String, loose] {
        let ours: Vec<String> = ops.list.iter().map(|op| normal(&op.name)).collect();
        let theirs: Vec<String> = log.vertices.iter().map(|vertex| normal(&vertex.name)).collect();
        sides.upwards(&ours, &theirs);
        sides.unique(&ours, &theirs);
        sides.downwards();
        sides.upwards(&ours, &theirs);
        sides.in_order(&ours, &theirs);
    }
    sides.laid
}

impl Sides<'_> {
    /// Notes that two belong together, where neither belongs to another yet.
    fn pair(&mut self, op: usize, vertex: usize, by: MatchedBy) {
        if let (Some(ours @ None), Some(theirs @ None)) =
            (self.laid.vertices.get_mut(op), self.laid.ops.get_mut(vertex))
        {
            *ours = Some((vertex, by));
            *theirs = Some(op);
        }
    }

    fn open_op(&self, op: usize) -> bool {
        matches!(self.laid.vertices.get(op), Some(None))
    }

    fn open_vertex(&self, vertex: usize) -> bool {
        matches!(self.laid.ops.get(vertex), Some(None))
    }

    /// Pairs what has one name and inputs that belong together, from the sources up.
    fn upwards(&mut self, ours: &[String], theirs: &[String]) {
        let mut waiting: BTreeMap<(&str, Vec<usize>), Vec<usize>> = BTreeMap::new();
        for (vertex, (name, inputs)) in theirs.iter().zip(&self.inputs).enumerate().rev() {
            if self.open_vertex(vertex) {
                waiting.entry((name, inputs.clone())).or_default().push(vertex);
            }
        }
        for (op, name) in ours.iter().enumerate() {
            if !self.open_op(op) {
                continue;
            }
            let inputs = self.ops.inputs(op).iter();
            let inputs: Option<Vec<usize>> = inputs
                .map(|input| Some(self.laid.vertices.get(*input)?.as_ref()?.0))
                .collect();
            if let Some(inputs) = inputs
                && let Some(vertex) = waiting.get_mut(&(name.as_str(), inputs)).and_then(Vec::pop)
            {
                self.pair(op, vertex, MatchedBy::Structure);
            }
        }
    }

    /// Pairs the inputs of what belongs together, place by place, from the result down.
    fn downwards(&mut self) {
        for op in (0..self.ops.len()).rev() {
            let Some(&Some((vertex, _))) = self.laid.vertices.get(op) else {
                continue;
            };
            let ours = self.ops.inputs(op).to_vec();
            let theirs = self.inputs.get(vertex).cloned().unwrap_or_default();
            if ours.len() != theirs.len() {
                continue;
            }
            for (ours, theirs) in ours.into_iter().zip(theirs) {
                let alike = self.ops.inputs(ours).len() == self.inputs.get(theirs).map_or(0, Vec::len);
                if alike {
                    self.pair(ours, theirs, MatchedBy::Structure);
                }
            }
        }
    }

    /// Pairs what alone has its name on both sides.
    fn unique(&mut self, ours: &[String], theirs: &[String]) {
        self.by_name(ours, theirs, true);
    }

    /// Pairs what has one name in the order in which it stands.
    fn in_order(&mut self, ours: &[String], theirs: &[String]) {
        self.by_name(ours, theirs, false);
    }

    fn by_name(&mut self, ours: &[String], theirs: &[String], alone: bool) {
        let mut named: BTreeMap<&str, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (op, name) in ours.iter().enumerate().filter(|(op, _)| self.open_op(*op)) {
            named.entry(name).or_default().0.push(op);
        }
        for (vertex, name) in theirs.iter().enumerate() {
            if self.open_vertex(vertex)
                && let Some((_, theirs)) = named.get_mut(name.as_str())
            {
                theirs.push(vertex);
            }
        }
        for (ops, vertices) in named.into_values() {
            if alone && (ops.len() != 1 || vertices.len() != 1) {
                continue;
            }
            for (op, vertex) in ops.into_iter().zip(vertices) {
                self.pair(op, vertex, MatchedBy::Name);
            }
        }
    }
}

/// A name without the digest that an image was pinned to, which a plan made without a registry does not know.
fn exact(name: &str) -> String {
    let Some((before, digest)) = name.rsplit_once("@sha256:") else {
        return name.to_owned();
    };
    let hex = digest.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (hex, rest) = digest.split_at(hex);
    if hex.len() == 64 {
        format!("{before}{rest}")
    } else {
        name.to_owned()
    }
}

/// The same without the numbers in `[builder 2/5]` and without the platform in `[linux/amd64 builder 2/5]`.
fn loose(name: &str) -> String {
    let name = exact(name);
    let Some((place, rest)) = name.strip_prefix('[').and_then(|name| name.split_once(']')) else {
        return name;
    };
    let words: Vec<&str> = place
        .split_whitespace()
        .filter(|word| !word.contains('/') && word.parse::<u32>().is_err())
        .collect();
    format!("[{}]{rest}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_differs_between_plans() {
        let pinned = format!("[a 1/2] FROM x@sha256:{}", "0".repeat(64));
        assert_eq!(exact(&pinned), "[a 1/2] FROM x");
        assert_eq!(exact("RUN echo @sha256:ü"), "RUN echo @sha256:ü");
        assert_eq!(loose("[linux/arm64 a  2/13] RUN x"), "[a] RUN x");
        assert_eq!(loose("[2/3] RUN x"), "[] RUN x");
        assert_eq!(loose("[internal] load"), "[internal] load");
        assert_eq!(loose("[torn"), "[torn");
    }
}
