//! A state folder on a file system that overlay does not take.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::ground::Ground;
use crate::verify::whole;

/// An overlay file system, as a container without a volume has; gone when this is dropped.
struct Overlay(PathBuf);

impl Overlay {
    /// `None`, with the reason printed, where none may be mounted.
    fn at(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let [lower, upper, work] = ["lower", "upper", "work"].map(|part| path.with_extension(part));
        for part in [&lower, &upper, &work] {
            fs::create_dir(part).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).unwrap();
        match mount(
            "overlay",
            path,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        ) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(error) => {
                println!("skipped: an overlay file system cannot be mounted here: {error}");
                None
            }
        }
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Stages that remove, replace, link and change what they are built on.
const CHANGING: &str = r#"
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /a/b /etc /kept /whole/inner && echo 1 > /a/b/one && echo 2 > /a/two && echo x > /etc/conf \
 && ln /a/two /a/three && ln /a/two /kept/four && echo same > /kept/same && echo i > /whole/inner/file

FROM base AS changed
RUN rm -r /a/b && mkdir /a/b && echo new > /a/b/two && rm /etc/conf && chmod 4750 /kept/same && chown -R 7:8 /kept
RUN --mount=type=bind,from=base,source=/a,target=/mnt/a,rw --mount=type=cache,target=/cache \
    cp /mnt/a/two /cache/two && echo y > /mnt/a/y && rm -rf /whole/inner && ln -s /a /whole/inner && test -f /cache/two
RUN rm -rf /a/b/two && mkdir /a/b/two && mkfifo /pipe && touch -d @1000000000 /etc

FROM base
COPY --from=changed /a /from/a
COPY --from=changed /kept /from/kept
COPY --from=changed /pipe /whole /from/
WORKDIR /work/deep
RUN test ! -e /mnt/a && test ! -e /cache && ln /from/a/two . && rm /from/a/three && rmdir /from/a/b/two
"#;

#[test]
fn a_state_folder_on_an_overlay_file_system_builds_the_same_images_by_copying() {
    let mut images = Vec::new();
    for on_overlay in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let overlay = on_overlay.then(|| Overlay::at(&folder.path().join("state")));
        if let Some(None) = overlay {
            return;
        }
        let Some(ground) = Ground::at(folder.path()) else {
            return;
        };
        let doctor = ground.run(&["doctor"]).out;
        assert_eq!(doctor.contains("Layers are copied"), on_overlay, "{doctor}");
        assert!(doctor.contains("Builds run on this machine"), "{doctor}");
        fs::write(ground.context.join("Dockerfile.changing"), CHANGING).unwrap();
        for file in ["Dockerfile", "Dockerfile.changing"] {
            let image = folder.path().join("image");
            let arguments = [
                "build",
                "-f",
                file,
                "--build-arg",
                "ROUND=1",
                "--build-arg",
                "SOURCE_DATE_EPOCH=1700000000",
                "--iidfile",
                image.to_str().unwrap(),
                "--output",
                "type=oci,dest=/dev/null,rewrite-timestamp=true",
                ".",
            ];
            ground.run(&arguments).well();
            images.push(fs::read_to_string(&image).unwrap());
            assert!(ground.run(&arguments).well().steps("CACHED").len() > 5);
        }
        whole(&ground.state);
        assert_eq!(
            fs::read_dir(ground.state.join("snapshots/active"))
                .unwrap()
                .count(),
            0
        );
        ground.run(&["prune", "--all"]).well();
    }
    assert_eq!(images[..2], images[2..]);
}
