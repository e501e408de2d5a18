//! What a step's process is between the worker and the step's own program.
//!
//! Until its program has started, a step's process is a copy of the worker, and `/proc/self/exe` is the worker's file on the
//! machine. An image may name that as its program, or as what its program needs to start, and bring a loader of its own: so
//! a stranger's code could hold a descriptor of the file, and write to it as root as soon as nobody runs it any more
//! (CVE-2019-5736). Therefore the worker starts no program of an image itself. It becomes the launcher, and that one becomes
//! the program: some thirty instructions in a file in memory, which needs no loader, and which nobody can write to.
//!
//! The launcher's arguments are the number of the descriptor to report to, in decimal; the path of the program; and the
//! program's own arguments. Where the program cannot be started it reports the error's number, four bytes in this machine's
//! order. Started without a number it ends: else it would become itself without end where a `#!` line names `/proc/self/exe`.

#![expect(
    unsafe_code,
    reason = "the program lies between two symbols of the assembler's"
)]

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// The launcher as a file that can be executed, and not be changed by whoever gets hold of it.
///
/// # Errors
/// `EACCES` where no file in memory may be executed (`vm.memfd_noexec=2`, Linux 6.3).
pub(super) fn launcher() -> Result<OwnedFd, Errno> {
    const NAME: &std::ffi::CStr = c"stagewright-launcher";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match memfd_create(NAME, flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 it could not be asked for, and all could be executed.
        Err(Errno::INVAL) => memfd_create(NAME, flags)?,
        result => result?,
    };
    let mut file = File::from(file);
    file.write_all(program())
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

fn program() -> &'static [u8] {
    unsafe extern "C" {
        static stagewright_launcher: u8;
        static stagewright_launcher_end: u8;
    }
    let (start, end) = (
        &raw const stagewright_launcher,
        &raw const stagewright_launcher_end,
    );
    // SAFETY: the symbols are the two ends of bytes that are initialized, never written to, and in one piece.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// The number of the processor in an ELF header.
#[cfg(target_arch = "x86_64")]
const PROCESSOR: u16 = 62;
#[cfg(target_arch = "aarch64")]
const PROCESSOR: u16 = 183;

/// On others no step is run.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const PROCESSOR: u16 = 0;

/// A program starts with its stack at the number of its arguments, followed by pointers to them, null, and pointers to the
/// variables of its environment.
#[cfg(target_arch = "x86_64")]
macro_rules! instructions {
    () => {
        "
        // ebx: the descriptor
        mov rsi, [rsp + 8]
        xor ebx, ebx
    2:  movzx eax, byte ptr [rsi]
        test eax, eax
        jz 3f
        sub eax, 48
        cmp eax, 9
        ja 4f
        imul ebx, ebx, 10
        add ebx, eax
        inc rsi
        jmp 2b
    3:  // fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        mov edi, ebx
        mov esi, 2
        mov edx, 1
        mov eax, 72
        syscall
        // execve(path, arguments, environment)
        mov rdi, [rsp + 16]
        lea rsi, [rsp + 24]
        mov rdx, [rsp]
        lea rdx, [rsp + rdx * 8 + 16]
        mov eax, 59
        syscall
        // write(descriptor, error, 4)
        neg eax
        push rax
        mov edi, ebx
        mov rsi, rsp
        mov edx, 4
        mov eax, 1
        syscall
    4:  // exit_group(127)
        mov edi, 127
        mov eax, 231
        syscall
        "
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! instructions {
    () => {
        "
        // w9: the descriptor
        ldr x1, [sp, #8]
        mov w9, #0
        mov w10, #10
    2:  ldrb w0, [x1], #1
        cbz w0, 3f
        sub w0, w0, #48
        cmp w0, #9
        b.hi 4f
        madd w9, w9, w10, w0
        b 2b
    3:  // fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        mov w0, w9
        mov x1, #2
        mov x2, #1
        mov x8, #25
        svc #0
        // execve(path, arguments, environment)
        ldr x3, [sp]
        ldr x0, [sp, #16]
        add x1, sp, #24
        add x2, sp, #16
        add x2, x2, x3, lsl #3
        mov x8, #221
        svc #0
        // write(descriptor, error, 4)
        neg w0, w0
        str w0, [sp, #-16]!
        mov w0, w9
        mov x1, sp
        mov x2, #4
        mov x8, #64
        svc #0
    4:  // exit_group(127)
        mov x0, #127
        mov x8, #94
        svc #0
        "
    };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
macro_rules! instructions {
    () => {
        ""
    };
}

// An ELF program of one segment: these headers and the instructions, to be read and executed. The second one says that the
// stack is not to be executed. An address is where nothing else is, and a page is as large as Linux has on either processor.
std::arch::global_asm!(
    ".pushsection .rodata.stagewright_launcher, \"a\"",
    ".globl stagewright_launcher, stagewright_launcher_end",
    ".hidden stagewright_launcher",
    ".hidden stagewright_launcher_end",
    "stagewright_launcher:",
    ".byte 0x7f, 0x45, 0x4c, 0x46", // "\x7fELF"
    ".byte 2, 1, 1, 0",             // 64 bits, little endian, version 1, System V
    ".8byte 0",
    ".2byte 2, {processor}", // a program at fixed addresses
    ".4byte 1",
    ".8byte {address} + 176", // where it begins: after the headers
    ".8byte 64, 0",           // where segments are described; no sections are
    ".4byte 0",
    ".2byte 64, 56, 2, 0, 0, 0",
    ".4byte 1, 5", // a segment to be loaded, read and executed
    ".8byte 0, {address}, {address}",
    ".8byte stagewright_launcher_end - stagewright_launcher",
    ".8byte stagewright_launcher_end - stagewright_launcher",
    ".8byte {page}",
    ".4byte 0x6474e551, 6", // the stack, read and written
    ".8byte 0, 0, 0, 0, 0, 16",
    instructions!(),
    "stagewright_launcher_end:",
    ".popsection",
    processor = const PROCESSOR,
    address = const 0x40_0000,
    page = const 0x1_0000,
);

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Output};

    use super::*;

    /// What becomes of it, and what it reports.
    fn launched(arguments: &[&str], environment: &[(&str, &str)]) -> (Output, Vec<u8>) {
        let launcher = launcher().unwrap();
        let (mut report, end) = std::io::pipe().unwrap();
        // Until the launcher runs, it is not to be closed.
        rustix::io::fcntl_setfd(&end, rustix::io::FdFlags::empty()).unwrap();
        let output = Command::new(format!("/proc/self/fd/{}", launcher.as_raw_fd()))
            .arg0(end.as_raw_fd().to_string())
            .args(arguments)
            .env_clear()
            .env("REPORT", end.as_raw_fd().to_string())
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        drop(end);
        let mut reported = Vec::new();
        report.read_to_end(&mut reported).unwrap();
        (output, reported)
    }

    #[test]
    fn it_becomes_the_program_with_all_arguments_and_variables() {
        let arguments = [
            "/bin/sh",
            "name",
            "-c",
            "echo \"$0|$1|$A|$B\"",
            "zero",
            "two words",
        ];
        let (output, reported) = launched(&arguments, &[("A", "1"), ("B", "2 3")]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "zero|two words|1|2 3\n");
        assert!(output.status.success() && reported.is_empty());
    }

    #[test]
    fn the_program_has_no_descriptor_to_report_to() {
        let arguments = [
            "/bin/sh",
            "sh",
            "-c",
            "[ -e /proc/$$/fd/0 ] && ! [ -e /proc/$$/fd/$REPORT ]",
        ];
        let (output, _) = launched(&arguments, &[]);
        assert!(output.status.success());
    }

    #[test]
    fn it_is_nobodys_interpreter() {
        let launcher = launcher().unwrap();
        let output = Command::new(format!("/proc/self/fd/{}", launcher.as_raw_fd()))
            .arg0("/proc/self/exe")
            .args(["/bin/sh", "sh", "-c", "echo started"])
            .output()
            .unwrap();
        assert!(output.stdout.is_empty());
        assert_eq!(output.status.code(), Some(127));
    }

    #[test]
    fn what_cannot_be_started_is_reported_by_the_errors_number() {
        for (path, errno) in [
            ("/nowhere", Errno::NOENT),
            ("/etc/passwd/x", Errno::NOTDIR),
            ("/", Errno::ACCESS),
        ] {
            let (output, reported) = launched(&[path, "name"], &[]);
            assert_eq!(reported, errno.raw_os_error().to_ne_bytes(), "{path}");
            assert_eq!(output.status.code(), Some(127));
        }
    }

    #[test]
    fn it_cannot_be_written_to_by_whoever_opens_it() {
        let launcher = launcher().unwrap();
        let path = format!("/proc/self/fd/{}", launcher.as_raw_fd());
        let mut opened = File::options().write(true).open(&path).unwrap();
        let refused = |result: std::io::Result<()>| {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EPERM));
        };
        refused(opened.write_all(b"x"));
        refused(opened.set_len(0));
        refused(opened.set_len(1 << 20));
        assert_eq!(std::fs::read(&path).unwrap(), program());
    }
}
