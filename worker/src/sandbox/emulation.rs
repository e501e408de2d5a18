//! Programs for other processors, which the kernel hands to an emulator that somebody registered with it.
//!
//! The worker emulates nothing. It asks what `binfmt_misc` holds: for each registration the first bytes of the programs that
//! it takes, which are compared with how a program for the wanted architecture begins. A registration has to have the flag
//! `F`: without it the kernel would look for the emulator inside of the image.

use std::fs;
use std::path::Path;

/// Where the kernel shows what is registered.
const REGISTRATIONS: &str = "/proc/sys/fs/binfmt_misc";

/// How programs begin (ELF header: class, byte order, and `e_machine` of the ABI of each processor), by Go's names.
const PROGRAMS: [(&str, u8, Order, u16); 12] = [
    ("amd64", 2, Order::Little, 62),
    ("386", 1, Order::Little, 3),
    ("arm64", 2, Order::Little, 183),
    ("arm", 1, Order::Little, 40),
    ("ppc64le", 2, Order::Little, 21),
    ("ppc64", 2, Order::Big, 21),
    ("s390x", 2, Order::Big, 22),
    ("riscv64", 2, Order::Little, 243),
    ("loong64", 2, Order::Little, 258),
    ("mips64le", 2, Order::Little, 8),
    ("mips64", 2, Order::Big, 8),
    ("mipsle", 1, Order::Little, 8),
];

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// Whether programs for `architecture`, another than this machine's, can be run; else why not and what to do.
pub(crate) fn emulated(architecture: &str) -> Result<(), String> {
    emulated_by(Path::new(REGISTRATIONS), architecture)
}

/// The architectures whose programs an emulator takes here.
pub(super) fn all_emulated() -> impl Iterator<Item = &'static str> {
    PROGRAMS
        .iter()
        .map(|(name, ..)| *name)
        .filter(|name| emulated(name).is_ok())
}

fn emulated_by(registrations: &Path, architecture: &str) -> Result<(), String> {
    let register = format!(
        "register an emulator for it, such as QEMU's (Debian's package qemu-user-static does, or `docker run --privileged --rm tonistiigi/binfmt --install {architecture}`)"
    );
    let Some(program) = PROGRAMS.iter().find(|(name, ..)| *name == architecture) else {
        return Err(format!("how programs for {architecture} begin is not known here"));
    };
    let mut reason = register;
    let entries = fs::read_dir(registrations).into_iter().flatten().flatten();
    for entry in entries {
        // The two files with which registrations are made are no registrations.
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let Some(registration) = Registration::read(&text) else {
            continue;
        };
        if !beginnings(program).any(|beginning| registration.takes(&beginning)) {
            continue;
        }
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !registration.enabled {
            reason = format!("the emulator {name} is registered, but disabled: enable it in {REGISTRATIONS}");
        } else if registration.flags.contains('F') {
            return Ok(());
        } else {
            reason = format!(
                "the emulator {name} is registered to be looked for inside of images: register it anew with the flag F"
            );
        }
    }
    Err(reason)
}

/// How programs and shared objects for a processor begin.
fn beginnings(program: &(&str, u8, Order, u16)) -> impl Iterator<Item = [u8; 20]> {
    let (_, class, order, machine) = *program;
    [2_u16, 3].into_iter().map(move |kind| {
        let bytes = |number: u16| match order {
            Order::Little => number.to_le_bytes(),
            Order::Big => number.to_be_bytes(),
        };
        let data = match order {
            Order::Little => 1,
            Order::Big => 2,
        };
        let mut header = [0; 20];
        header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, data, 1]);
        header[16..18].copy_from_slice(&bytes(kind));
        header[18..].copy_from_slice(&bytes(machine));
        header
    })
}

/// What the kernel prints of one (`Documentation/admin-guide/binfmt-misc.rst`).
struct Registration {
    enabled: bool,
    flags: String,
    offset: usize,
    magic: Vec<u8>,
    /// Which bits of the magic count; empty for all.
    mask: Vec<u8>,
}

impl Registration {
    /// `None` for what is none, and for one that goes by the end of names.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let enabled = match lines.next()? {
            "enabled" => true,
            "disabled" => false,
            _ => return None,
        };
        let mut registration = Self {
            enabled,
            flags: String::new(),
            offset: 0,
            magic: Vec::new(),
            mask: Vec::new(),
        };
        for (key, value) in lines.filter_map(|line| line.split_once(' ')) {
            match key {
                "flags:" => value.clone_into(&mut registration.flags),
                "offset" => registration.offset = value.parse().ok()?,
                "magic" => registration.magic = bytes(value)?,
                "mask" => registration.mask = bytes(value)?,
                _ => {}
            }
        }
        (!registration.magic.is_empty()).then_some(registration)
    }

    fn takes(&self, beginning: &[u8]) -> bool {
        let begun = beginning.get(self.offset..).unwrap_or_default();
        let all = std::iter::repeat(&0xff);
        begun.len() >= self.magic.len()
            && self
                .magic
                .iter()
                .zip(begun)
                .zip(self.mask.iter().chain(all))
                .all(|((wanted, there), mask)| there & mask == wanted & mask)
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's package registers it.
    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn said(registration: &str, architecture: &str) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("qemu"), registration).unwrap();
        fs::write(dir.path().join("status"), "enabled\n").unwrap();
        emulated_by(dir.path(), architecture)
    }

    #[test]
    fn an_emulator_takes_the_programs_that_begin_as_it_is_registered_for() {
        assert_eq!(said(ARM64, "arm64"), Ok(()));
        for other in ["arm", "s390x", "riscv64", "amd64"] {
            assert!(
                said(ARM64, other).unwrap_err().contains("register an emulator"),
                "{other}"
            );
        }
        let s390x = ARM64.replace(
            "0201010000000000000000000200b700",
            "02020100000000000000000000020016",
        );
        let s390x = s390x.replace("fffffffffffffffffeffffff", "fffffffffffffffffffeffff");
        assert_eq!(said(&s390x, "s390x"), Ok(()));
        // No mask: all bits count, so it takes programs and no shared objects.
        let (bare, _) = ARM64.split_once("mask").unwrap();
        assert_eq!(said(bare, "arm64"), Ok(()));
    }

    #[test]
    fn one_that_would_not_be_found_or_is_switched_off_says_so() {
        assert!(
            said(&ARM64.replace("POCF", "POC"), "arm64")
                .unwrap_err()
                .contains("flag F")
        );
        assert!(
            said(&ARM64.replace("enabled", "disabled"), "arm64")
                .unwrap_err()
                .contains("disabled")
        );
        assert!(said(ARM64, "pdp11").unwrap_err().contains("pdp11"));
        let nowhere = emulated_by(Path::new("/nowhere"), "arm64").unwrap_err();
        assert!(nowhere.contains("tonistiigi/binfmt --install arm64"), "{nowhere}");
    }

    #[test]
    fn what_is_no_registration_takes_nothing() {
        for text in [
            "",
            "enabled\n",
            "enabled\nextension .exe\n",
            "enabled\nmagic 7\n",
            "enabled\nmagic zz\n",
            "enabled\nflags: F\noffset 99999999999999999999\nmagic 7f\n",
            "enabled\nflags: F\noffset 19\nmagic b700\n",
        ] {
            assert!(said(text, "arm64").is_err(), "{text:?}");
        }
    }
}
