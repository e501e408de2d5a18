//! The ports of `EXPOSE`, for the rules that look at them.

use crate::instruction::Instruction;
use crate::plan::read_port;
use crate::span::Span;

use super::file::Step;
use super::finding::Found;

/// A port, with variables worked out.
pub(super) struct Port<'s> {
    pub(super) text: &'s str,
    /// Where it is written, if it is written as it is.
    pub(super) span: Option<Span>,
    /// Whether BuildKit comes to it: it ends at a port that cannot be read.
    reached: bool,
}

impl Port<'_> {
    /// A finding about this port.
    pub(super) fn found(&self, step: &Step<'_>, message: String) -> Found {
        let finding = Found::done(step, message);
        if self.reached { finding } else { finding.late() }
    }
}

/// The ports of an instruction; none where it is another than `EXPOSE`.
pub(super) fn ports<'s>(step: &'s Step<'_>) -> Vec<Port<'s>> {
    let Some(Instruction::Expose(expose)) = step.instruction() else {
        return Vec::new();
    };
    let words = &step.worked.words;
    let as_written = words.iter().eq(expose.ports.iter().map(|port| &port.text)) && !step.trigger;
    let mut reached = step.worked.failed.is_none();
    let mut ports = Vec::new();
    for (index, text) in words.iter().enumerate() {
        let written = expose.ports.get(index).filter(|_| as_written);
        reached &= has_protocol(text);
        ports.push(Port {
            text,
            span: written.map(|port| port.span),
            reached,
        });
        reached &= read_port(text).is_ok();
    }
    ports
}

/// Whether port and protocol can be told apart, which is found out before anything else is looked at.
fn has_protocol(text: &str) -> bool {
    let inside = text.rsplit(':').next().unwrap_or_default();
    let (port, protocol) = inside.split_once('/').unwrap_or((inside, ""));
    let known = ["", "tcp", "udp", "sctp"];
    !port.is_empty() && known.iter().any(|known| protocol.eq_ignore_ascii_case(known))
}
