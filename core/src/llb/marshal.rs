//! An op's bytes, both ways.

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, message};

use crate::digest::{Digest, InvalidDigest};

use super::validate::{self, Fault};
use super::{ExecOp, Input, Op, OpKind, Platform, WorkerConstraints};

/// Why bytes are not an op, or ops not a definition. What was decoded comes from strangers, so the text is for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not a protobuf message of this type.
    #[error("not a BuildKit op: {0}")]
    Malformed(String),
    /// An input is named by something else than a digest.
    #[error("an input of the op is not named by a digest: {0}")]
    InputDigest(#[from] InvalidDigest),
    /// An input's output index is negative or too large.
    #[error("an input of the op names output {0}, which cannot be")]
    InputIndex(i64),
    /// The op is a message, but not one that could be executed.
    #[error("the op cannot be executed: {0}")]
    Fault(#[from] Fault),
    /// An op of a definition uses one that does not stand before it.
    #[error("op {op} uses {digest}, which is not an op that stands before it")]
    UnknownInput {
        /// Index of the op.
        op: usize,
        /// What it uses.
        digest: Digest,
    },
    /// The definition does not end in an op that points to its result.
    #[error("the definition does not end in a terminal op with exactly one input")]
    NoTerminal,
    /// There is a terminal op before the end.
    #[error("op {op} has no kind, but only the last op of a definition may have none")]
    EarlyTerminal {
        /// Index of the op.
        op: usize,
    },
    /// There are too many ops.
    #[error("the definition has more than {limit} ops")]
    TooLarge {
        /// How many there may be.
        limit: usize,
    },
}

/// The fields of `pb.Op` that Go's encoder writes first.
#[derive(Clone, PartialEq, Message)]
struct Base {
    #[prost(message, repeated, tag = "1")]
    inputs: Vec<WireInput>,
    #[prost(message, optional, tag = "10")]
    platform: Option<Platform>,
    #[prost(message, optional, tag = "11")]
    constraints: Option<WorkerConstraints>,
}

/// The fields of `pb.Op` that Go's encoder writes last, because they stand in a `oneof`.
#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(oneof = "OpKind", tags = "2, 3, 4, 5, 6, 7, 8")]
    kind: Option<OpKind>,
}

#[derive(Clone, PartialEq, Message)]
struct WireInput {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    index: i64,
}

/// The bytes whose digest is the op's identity: exactly those that BuildKit's own client writes.
pub fn marshal(op: &Op) -> Vec<u8> {
    let kind_length = op.kind.as_ref().map_or(0, OpKind::encoded_len);
    let (platform, constraints) = (op.platform.as_ref(), op.constraints.as_ref());
    let mut bytes = begin(&op.inputs, platform, constraints, kind_length);
    if let Some(kind) = &op.kind {
        kind.encode(&mut bytes);
    }
    bytes
}

/// The same for an exec op whose process is written already: `exec` is all else of it.
pub(crate) fn marshal_process(
    inputs: &[Input],
    platform: &Platform,
    process: &[u8],
    exec: &ExecOp,
) -> Vec<u8> {
    let process_length = process.len() as u64;
    let length = 1 + encoded_len_varint(process_length) + process.len() + exec.encoded_len();
    let constraints = WorkerConstraints::default();
    let mut bytes = begin(inputs, Some(platform), Some(&constraints), length + 8);
    encode_key(2, WireType::LengthDelimited, &mut bytes);
    encode_varint(length as u64, &mut bytes);
    encode_key(1, WireType::LengthDelimited, &mut bytes);
    encode_varint(process_length, &mut bytes);
    bytes.extend_from_slice(process);
    // Writing into a Vec that grows cannot fail.
    let _ = exec.encode(&mut bytes);
    bytes
}

/// The fields that stand before what an op does, which takes `kind_length` bytes.
fn begin(
    inputs: &[Input],
    platform: Option<&Platform>,
    constraints: Option<&WorkerConstraints>,
    kind_length: usize,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(kind_length + inputs.len() * 80 + 64);
    for Input { digest, index } in inputs {
        // Written without a message in between, which would need a copy of the digest.
        let digest = digest.as_str().as_bytes();
        let length = digest.len() as u64;
        let index = u64::from(*index);
        let index_length = if index == 0 {
            0
        } else {
            1 + encoded_len_varint(index)
        };
        encode_key(1, WireType::LengthDelimited, &mut bytes);
        encode_varint(
            1 + encoded_len_varint(length) as u64 + length + index_length as u64,
            &mut bytes,
        );
        encode_key(1, WireType::LengthDelimited, &mut bytes);
        encode_varint(length, &mut bytes);
        bytes.extend_from_slice(digest);
        if index != 0 {
            encode_key(2, WireType::Varint, &mut bytes);
            encode_varint(index, &mut bytes);
        }
    }
    if let Some(platform) = platform {
        message::encode(10, platform, &mut bytes);
    }
    if let Some(constraints) = constraints {
        message::encode(11, constraints, &mut bytes);
    }
    bytes
}

/// Reads an op, in whatever order its fields stand, and checks that everything it refers to is there.
///
/// `bytes` may come from anyone. Fields that this version does not know are passed over, as protobuf has it;
/// compare [`marshal()`] of the result with `bytes` where that matters.
pub fn decode(bytes: &[u8]) -> Result<Op, DecodeError> {
    let malformed = |error: prost::DecodeError| DecodeError::Malformed(error.to_string());
    let base = Base::decode(bytes).map_err(malformed)?;
    let Kind { kind } = Kind::decode(bytes).map_err(malformed)?;
    let inputs = base
        .inputs
        .into_iter()
        .map(read_input)
        .collect::<Result<Vec<_>, _>>()?;
    let op = Op {
        inputs,
        kind,
        platform: base.platform,
        constraints: base.constraints,
    };
    validate::op(&op)?;
    Ok(op)
}

fn read_input(WireInput { digest, index }: WireInput) -> Result<Input, DecodeError> {
    let index = u32::try_from(index).map_err(|_| DecodeError::InputIndex(index))?;
    Ok(Input {
        digest: Digest::try_from(digest)?,
        index,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{
        Action, Attr, ChownOpt, FileAction, FileActionMkFile, FileOp, Meta, Mount, SourceOp, User, UserOpt,
    };
    use super::*;

    fn source(attrs: Vec<Attr>) -> Op {
        Op {
            kind: Some(OpKind::Source(SourceOp::new("local://context".into(), attrs))),
            constraints: Some(WorkerConstraints::default()),
            ..Op::default()
        }
    }

    #[test]
    fn oneof_follows_fields_with_higher_numbers() {
        // constraints (11) as `5a 00`, then the source (3).
        let bytes = marshal(&source(Vec::new()));
        assert_eq!(bytes[..4], [0x5a, 0x00, 0x1a, 0x11]);
    }

    #[test]
    fn empty_attribute_values_are_written_and_keys_sorted() {
        let bytes = marshal(&source(vec![Attr::new("b", ""), Attr::new("a", "")]));
        assert!(bytes.ends_with(&[0x12, 5, 0x0a, 1, b'a', 0x12, 0, 0x12, 5, 0x0a, 1, b'b', 0x12, 0]));
    }

    #[test]
    fn inputs_are_written_as_their_message_would_be() {
        for index in [0, 1, 300] {
            let digest = Digest::of(b"x");
            let wire = WireInput {
                digest: digest.to_string(),
                index: i64::from(index),
            };
            let base = Base {
                inputs: vec![wire],
                ..Base::default()
            };
            assert_eq!(
                marshal(&Op {
                    inputs: vec![Input { digest, index }],
                    ..Op::default()
                }),
                base.encode_to_vec()
            );
        }
    }

    #[test]
    fn a_process_written_before_is_part_of_its_op() {
        let meta = Meta {
            args: vec!["a".repeat(300)],
            ..Meta::default()
        };
        let mount = Mount {
            dest: "/".into(),
            ..Mount::default()
        };
        let rest = ExecOp {
            mounts: vec![mount],
            ..ExecOp::default()
        };
        let input = Input {
            digest: Digest::of(b"x"),
            index: 0,
        };
        let platform = Platform {
            os: "linux".into(),
            ..Platform::default()
        };
        let process = meta.encode_to_vec();
        let bytes = marshal_process(std::slice::from_ref(&input), &platform, &process, &rest);
        let whole = Op {
            inputs: vec![input],
            platform: Some(platform),
            constraints: Some(WorkerConstraints::default()),
            kind: Some(OpKind::Exec(ExecOp {
                meta: Some(meta),
                ..rest
            })),
        };
        assert_eq!(bytes, marshal(&whole));
    }

    #[test]
    fn user_zero_is_written() {
        let owner = ChownOpt {
            user: Some(UserOpt {
                user: Some(User::ById(0)),
            }),
            group: None,
        };
        assert_eq!(owner.encode_to_vec(), [0x0a, 2, 0x10, 0]);
    }

    #[test]
    fn decoding_takes_any_order_of_fields() {
        let ours = marshal(&source(Vec::new()));
        let (constraints, kind) = ours.split_at(2);
        let swapped = [kind, constraints].concat();
        assert_eq!(decode(&swapped), decode(&ours));
    }

    #[test]
    fn inputs_are_named_by_digests_only() {
        let base = Base {
            inputs: vec![WireInput {
                digest: "../../etc/passwd".into(),
                index: 0,
            }],
            ..Base::default()
        };
        assert!(matches!(
            decode(&base.encode_to_vec()),
            Err(DecodeError::InputDigest(_))
        ));
    }

    #[test]
    fn action_beyond_the_inputs_is_refused() {
        let action = FileAction {
            input: 7,
            secondary_input: -1,
            output: 0,
            action: Some(Action::MkFile(FileActionMkFile {
                path: "/x".into(),
                ..FileActionMkFile::default()
            })),
        };
        let op = Op {
            kind: Some(OpKind::File(FileOp {
                actions: vec![action],
            })),
            ..Op::default()
        };
        assert!(matches!(decode(&marshal(&op)), Err(DecodeError::Fault(_))));
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(matches!(decode(&[0xff; 40]), Err(DecodeError::Malformed(_))));
    }
}
