//! A small file system, to be filled up.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of this size at a folder, for as long as this lives.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// None, and a word on stderr, where none can be mounted.
    pub fn mount(folder: &Path, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "none"])
            .arg(folder)
            .status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        if !is_mounted {
            let told = "NOT SHOWN: no small file system can be mounted here; run as root\n";
            // Past the harness, which keeps what a test prints that does not fail.
            let _ = std::io::stderr().write_all(told.as_bytes());
        }
        is_mounted.then(|| SmallDisk { folder: folder.to_owned() })
    }

    /// The same, open for reading only.
    pub fn closed(self) -> SmallDisk {
        let remount = ["-o", "remount,ro"];
        assert!(Command::new("mount").args(remount).arg(&self.folder).status().unwrap().success());
        self
    }

    /// Leaves not a byte free.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.folder.join("ballast")).unwrap();
        let block = vec![0; 4096];
        while file.write_all(&block).is_ok() {}
    }

    /// Makes room again.
    pub fn free(&self) {
        fs::remove_file(self.folder.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
