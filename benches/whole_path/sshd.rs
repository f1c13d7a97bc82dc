//! Sshd: OpenSSH's server on loopback, started for one part and ended with it.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// It starts itself again by its own path, which must be whole.
const SSHD: &str = "/usr/sbin/sshd";

/// The server, with a key `client` that logs in as whoever runs the bench. It ends when this is
/// dropped.
pub struct Sshd {
    child: Child,
    place: PathBuf,
    pub port: u16,
    pub user: String,
}

impl Sshd {
    pub fn start(root: &Path) -> anyhow::Result<Sshd> {
        let place = root.join("sshd");
        fs::create_dir_all(&place)?;
        for name in ["host", "client"] {
            if !place.join(name).exists() {
                run(Command::new("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                    .arg(place.join(name)))?;
            }
        }
        fs::copy(place.join("client.pub"), place.join("authorized_keys"))?;
        // Where it locks itself in before the login, if root starts it.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nPidFile none\n\
             AuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nUseDNS no\nSubsystem sftp internal-sftp\n",
            place.display()
        );
        fs::write(place.join("sshd_config"), config)?;
        fs::set_permissions(&place, Permissions::from_mode(0o700))?;
        let host = fs::read_to_string(place.join("host.pub"))?;
        fs::write(place.join("known_hosts"), format!("[127.0.0.1]:{port} {host}"))?;
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(place.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(File::create(place.join("log"))?)
            .spawn()
            .with_context(|| format!("{SSHD} cannot be started: install openssh-server"))?;
        let user = Command::new("id").arg("-un").output()?.stdout;
        let user = String::from_utf8(user)?.trim().to_owned();
        let sshd = Sshd { child, place, port, user };
        for _ in 0..200 {
            if sshd.answers() {
                return Ok(sshd);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("sshd does not answer: {}", fs::read_to_string(sshd.path("log"))?)
    }

    /// A path beside its keys.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn answers(&self) -> bool {
        let mut banner = [0; 4];
        TcpStream::connect(("127.0.0.1", self.port))
            .and_then(|mut tcp| tcp.read_exact(&mut banner))
            .is_ok()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Sessions end by themselves once their clients are gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
