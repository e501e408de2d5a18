//! Programs of nothing but one system call, so that what answers is the kernel and no C library.

/// A 64-bit ELF file for x86-64 that makes the call and ends with the error as its exit code, 0 where there is none.
/// `text` is put behind the code, and an argument `TEXT` stands for its address.
pub(crate) fn one_call(number: i64, arguments: [u64; 6], text: &[u8]) -> Vec<u8> {
    let mut code: Vec<u8> = Vec::new();
    let set = |code: &mut Vec<u8>, register: [u8; 2], value: u64| {
        code.extend(register);
        code.extend(value.to_le_bytes());
    };
    set(&mut code, [0x48, 0xb8], number.cast_unsigned());
    let registers = [
        [0x48, 0xbf],
        [0x48, 0xbe],
        [0x48, 0xba],
        [0x49, 0xba],
        [0x49, 0xb8],
        [0x49, 0xb9],
    ];
    // All that follows has a fixed length, so the place of the text is known.
    let end = code.len() + 6 * 10 + ENDING.len() + 2;
    for (register, value) in registers.into_iter().zip(arguments) {
        let value = if value == TEXT {
            START + HEADERS as u64 + end as u64
        } else {
            value
        };
        set(&mut code, register, value);
    }
    code.extend([0x0f, 0x05]);
    code.extend(ENDING);
    code.extend(text);
    code.push(0);
    elf(&code)
}

/// A program that makes a call by the numbers of 32-bit programs: `getpid`.
pub(crate) fn call_of_another_architecture() -> Vec<u8> {
    elf(&[&[0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0x31, 0xc0][..], ENDING].concat())
}

/// Stands for the address of the text behind the code.
pub(crate) const TEXT: u64 = 0x7e57_7e57_7e57_7e57;

/// `exit(-result)` where the result is an error, `exit(0)` where it is none.
const ENDING: &[u8] = &[
    0x48, 0x89, 0xc7, // mov rdi, rax
    0x48, 0xf7, 0xdf, // neg rdi
    0x48, 0x81, 0xff, 0xff, 0x0f, 0x00, 0x00, // cmp rdi, 4095
    0x76, 0x02, // jbe over the next
    0x31, 0xff, // xor edi, edi
    0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
    0x0f, 0x05, // syscall
];

const START: u64 = 0x40_0000;
const HEADERS: usize = 64 + 56;

/// One segment that may be read and executed, loaded as it lies in the file.
fn elf(code: &[u8]) -> Vec<u8> {
    let length = (HEADERS + code.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for (value, bytes) in [
        (2, 2),                      // an executable
        (62, 2),                     // for x86-64
        (1, 4),                      // version
        (START + HEADERS as u64, 8), // where it begins
        (64, 8),                     // program headers
        (0, 8),                      // no sections
        (0, 4),                      // flags
        (64, 2),                     // length of this header
        (56, 2),                     // of a program header
        (1, 2),                      // of which there is one
        (0, 2),
        (0, 2),
        (0, 2),
        (1, 4), // a segment to load
        (5, 4), // to read and execute
        (0, 8), // from the file's beginning
        (START, 8),
        (START, 8),
        (length, 8),
        (length, 8),
        (0x1000, 8),
    ] {
        file.extend(&value.to_le_bytes()[..bytes]);
    }
    assert_eq!(file.len(), HEADERS);
    file.extend(code);
    file
}
