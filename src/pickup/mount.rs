//! Mount: whether a folder lies on another machine, whose changes the system's events do not tell of.

use std::path::Path;

/// The file system that a folder is on, if other machines may write to it.
pub fn network(folder: &Path) -> Option<&'static str> {
    named(rustix::fs::statfs(folder).ok()?.f_type as u64)
}

/// The numbers are those of statfs(2), section "Filesystem types", and of linux/magic.h.
fn named(magic: u64) -> Option<&'static str> {
    // Some systems extend the sign of the 32 bits.
    match magic as u32 {
        0x6969 => Some("NFS"),
        0x517B => Some("SMB"),
        0xFF53_4D42 => Some("CIFS"),
        0xFE53_4D42 => Some("SMB2"),
        0x6573_5546 => Some("FUSE"),
        0x0102_1997 => Some("9P"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x00C3_6400 => Some("Ceph"),
        0x0BD0_0BD0 => Some("Lustre"),
        0x7461_636F => Some("OCFS2"),
        0x0116_1970 => Some("GFS2"),
        0x786F_4256 => Some("a folder shared by VirtualBox"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_other_machines_are_told_by_their_file_system() {
        assert_eq!(named(0x6969), Some("NFS"));
        assert_eq!(named(0xFFFF_FFFF_FE53_4D42), Some("SMB2"));
        // ext4, tmpfs and overlayfs.
        assert_eq!([0xEF53, 0x0102_1994, 0x794C_7630].map(named), [None; 3]);
        assert_eq!(network(Path::new("/proc")), None);
    }
}
