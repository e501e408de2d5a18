//! Where an output is written to.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;
use tempfile::NamedTempFile;

/// As many links in a row as the system itself follows.
const LINKS: usize = 40;

/// A file in the making. It is written beside its place, under a name that is nobody else's, and renamed, so that what
/// stands under its name is always whole; a device or a pipe is written as it is, and stays one.
pub(crate) enum NewFile {
    /// What it is renamed from and to. Given up, it is removed.
    Beside(NamedTempFile, PathBuf),
    AsItIs(File),
}

impl NewFile {
    /// Begins the file that is going to stand at `place`.
    pub(crate) fn create(place: &Path) -> io::Result<Self> {
        let known = fs::metadata(place).ok();
        if known.as_ref().is_some_and(|known| !known.is_file()) {
            return Ok(Self::AsItIs(File::options().write(true).open(place)?));
        }
        let place = end(place)?;
        let mut options = File::options();
        // As any new file: the umask takes away from it.
        options.read(true).write(true).create_new(true).mode(0o666);
        let new = tempfile::Builder::new()
            .prefix("stagewright-")
            .suffix(".part")
            // What fails is told of the file's own place; this name is nobody's matter.
            .make_in(folder(&place), |beside| options.open(beside))?;
        if let Some(known) = known {
            new.as_file().set_permissions(known.permissions())?;
        }
        Ok(Self::Beside(new, place))
    }

    /// Why there could be no file at `place`, without touching anything. That there can be is no promise: it is asked long
    /// before there is something to write.
    pub(crate) fn check(place: &Path) -> io::Result<()> {
        match fs::metadata(place) {
            Ok(known) if known.is_dir() => Err(Errno::ISDIR.into()),
            // A pipe would take it for its writer's end if it were opened.
            Ok(known) if !known.is_file() => Ok(()),
            _ => takes_files(folder(&end(place)?)),
        }
    }

    /// What is written into.
    pub(crate) fn file(&mut self) -> &mut File {
        match self {
            Self::Beside(new, _) => new.as_file_mut(),
            Self::AsItIs(file) => file,
        }
    }

    /// Another handle to the same.
    pub(crate) fn writer(&self) -> io::Result<File> {
        match self {
            Self::Beside(new, _) => new.as_file().try_clone(),
            Self::AsItIs(file) => file.try_clone(),
        }
    }

    /// Gives the file its name, now that it is whole.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Beside(new, place) => new.persist(place).map(drop).map_err(|error| error.error),
            Self::AsItIs(_) => Ok(()),
        }
    }
}

/// Why there could be no folder at `place`, without making any: there is something else, or what there is of the folders above
/// takes no more.
pub(crate) fn check_folder(place: &Path) -> io::Result<()> {
    let mut there = place;
    loop {
        match fs::metadata(there) {
            Ok(_) => return takes_files(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound && there.symlink_metadata().is_err() => {
                match there.parent() {
                    Some(above) if above.as_os_str().is_empty() => return takes_files(Path::new(".")),
                    Some(above) => there = above,
                    None => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn takes_files(folder: &Path) -> io::Result<()> {
    if !fs::metadata(folder)?.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The folder of a file.
fn folder(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// What is written where `place` is named. A link stays one: it is what it leads to.
fn end(place: &Path) -> io::Result<PathBuf> {
    let end = fs::canonicalize(place).or_else(|_| behind(place))?;
    if end.as_os_str().as_bytes().ends_with(b"/") {
        // The name of a folder, which the system would refuse only once the file is whole.
        return Err(Errno::ISDIR.into());
    }
    Ok(end)
}

/// Where a link leads to whose end is not there yet.
fn behind(place: &Path) -> io::Result<PathBuf> {
    let mut place = place.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&place) {
            // From the folder that the link stands in.
            Ok(target) => place = place.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(Errno::LOOP.into())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::Write as _;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "before").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        symlink("out", &link).unwrap();
        let mut new = NewFile::create(&link).unwrap();
        new.file().write_all(b"after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        new.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut new = NewFile::create(&folder.path().join("out")).unwrap();
        new.file().write_all(b"half").unwrap();
        drop(new);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_others_put_beside_a_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("other"), "theirs").unwrap();
        symlink("other", at("out.part")).unwrap();
        drop(NewFile::create(&at("out")).unwrap());
        // Two that are made at once do not write into each other.
        let (mut one, mut two) = (
            NewFile::create(&at("out")).unwrap(),
            NewFile::create(&at("out")).unwrap(),
        );
        one.file().write_all(b"the first").unwrap();
        two.file().write_all(b"two").unwrap();
        one.finish().unwrap();
        assert_eq!(fs::read_to_string(at("out")).unwrap(), "the first");
        two.finish().unwrap();
        assert_eq!(fs::read_to_string(at("out")).unwrap(), "two");
        assert_eq!(fs::read_to_string(at("other")).unwrap(), "theirs");
        assert_eq!(fs::read_link(at("out.part")).unwrap(), Path::new("other"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_new_file_is_for_whom_the_umask_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode()
        };
        File::create(folder.path().join("any")).unwrap();
        NewFile::create(&folder.path().join("out"))
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(mode("out"), mode("any"));
    }

    #[test]
    fn a_link_to_what_is_not_there_yet_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        symlink("sub/second", at("first")).unwrap();
        symlink("../out", at("sub/second")).unwrap();
        let mut new = NewFile::create(&at("first")).unwrap();
        new.file().write_all(b"new").unwrap();
        new.finish().unwrap();
        assert!(fs::symlink_metadata(at("first")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(at("sub/second")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(at("out")).unwrap(), "new");
        symlink("round", at("round")).unwrap();
        assert!(NewFile::create(&at("round")).is_err());
    }

    #[test]
    fn what_is_named_as_a_folder_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "lacking/", "lacking/out"] {
            assert!(NewFile::create(&folder.path().join(name)).is_err(), "{name}");
            assert!(NewFile::check(&folder.path().join(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_fails_is_not_told_of_a_name_that_nobody_gave() {
        let folder = tempfile::tempdir().unwrap();
        let error = NewFile::create(&folder.path().join("lacking/out")).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
        assert!(!error.to_string().contains(".part"), "{error}");
    }

    #[test]
    fn places_are_looked_at_and_left_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("file"), "before").unwrap();
        symlink("sub/new", at("link")).unwrap();
        symlink("lacking/new", at("astray")).unwrap();
        let file = |name: &str| NewFile::check(&at(name)).map_err(|error| error.kind());
        for name in ["file", "new", "sub/new", "link"] {
            assert_eq!(file(name), Ok(()), "{name}");
        }
        NewFile::check(Path::new("/dev/null")).unwrap();
        NewFile::check(Path::new("new")).unwrap();
        assert_eq!(file("sub"), Err(io::ErrorKind::IsADirectory));
        assert_eq!(file("new/"), Err(io::ErrorKind::IsADirectory));
        assert_eq!(file("lacking/x"), Err(io::ErrorKind::NotFound));
        assert_eq!(file("astray"), Err(io::ErrorKind::NotFound));
        assert_eq!(file("file/x"), Err(io::ErrorKind::NotADirectory));
        let made = |name: &str| check_folder(&at(name)).map_err(|error| error.kind());
        for name in ["sub", "new", "new/and/more", "sub/new"] {
            assert_eq!(made(name), Ok(()), "{name}");
        }
        check_folder(Path::new("new/more")).unwrap();
        assert_eq!(made("file"), Err(io::ErrorKind::NotADirectory));
        assert_eq!(made("file/x"), Err(io::ErrorKind::NotADirectory));
        assert_eq!(made("astray"), Err(io::ErrorKind::NotFound));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        assert_eq!(fs::read_dir(at("sub")).unwrap().count(), 0);
        if rustix::process::geteuid().is_root() {
            println!("skipped: root may write where it is not allowed to");
            return;
        }
        fs::set_permissions(at("sub"), Permissions::from_mode(0o555)).unwrap();
        assert_eq!(file("sub/new"), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(made("sub/new"), Err(io::ErrorKind::PermissionDenied));
    }

    #[test]
    fn a_device_stays_a_device() {
        let mut new = NewFile::create(Path::new("/dev/null")).unwrap();
        new.file().write_all(b"gone").unwrap();
        new.finish().unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
}
