//! Login: proves who we are by what the server asks for, one way after the other if it wants
//! several.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, anyhow};
use ssh2::{ErrorCode, KeyboardInteractivePrompt, Prompt};

use super::cord::Cord;
use super::private_key::why_not_opened;
use super::refusal::Refusal;
use crate::config::{Secret, SecretSource, Sftp};

// Codes of libssh2.h (`LIBSSH2_ERROR_*`), which ssh2 does not name.
const SOCKET_SEND: ErrorCode = ErrorCode::Session(-7);
const TIMEOUT: ErrorCode = ErrorCode::Session(-9);
const SOCKET_DISCONNECT: ErrorCode = ErrorCode::Session(-13);
const PASSWORD_EXPIRED: ErrorCode = ErrorCode::Session(-15);
const AUTHENTICATION_FAILED: ErrorCode = ErrorCode::Session(-18);
const PUBLICKEY_UNVERIFIED: ErrorCode = ErrorCode::Session(-19);
const SOCKET_RECV: ErrorCode = ErrorCode::Session(-43);

/// How many keys of an agent are shown: servers count each as a failed try, and OpenSSH's hang up
/// after six (sshd_config(5), "MaxAuthTries").
const AGENT_KEYS: usize = 4;

/// Logs in.
pub fn log_in(ssh: &ssh2::Session, place: &Sftp, server: &str, cord: &Cord) -> Result<(), Refusal> {
    let mut attempt = Attempt { ssh, place, server, refused: Vec::new(), cord };
    attempt.run().map_err(|refusal| counted(refusal, cord.told_password()))
}

/// Once a password was told, whatever goes wrong counts as its refusal, since the server may count
/// it so.
fn counted(refusal: Refusal, told_password: bool) -> Refusal {
    match refusal {
        Refusal::Login { advice, .. } => Refusal::Login { password: told_password, advice },
        other if told_password => {
            Refusal::Login { password: true, advice: format!("{other}; the password was told") }
        }
        other => other,
    }
}

/// Whether a server that asks for other methods than before has taken what was shown, and wants
/// more. One that refuses may ask for fewer, without the one that was tried; new ones it asks for
/// only then (RFC 4252, section 5.1: "partial success", which libssh2 does not tell).
fn wants_more(before: &str, now: &str) -> bool {
    let before: Vec<&str> = before.split(',').collect();
    now.split(',').any(|method| !before.contains(&method))
}

impl Attempt<'_> {
    fn run(&mut self) -> Result<(), Refusal> {
        let (ssh, place, attempt) = (self.ssh, self.place, self);
        let mut left = Way::all_of(place);
        let mut wanted = attempt.wanted().map_err(Refusal::Unreachable)?;
        while !ssh.authenticated() {
            let fits = |way: &Way| wanted.split(',').any(|method| method == way.method());
            let Some(next) = left.iter().position(fits) else {
                return Err(attempt.refusal(&format!("it asks for {wanted}")));
            };
            let way = left.remove(next);
            attempt.refused.push(way.what(place));
            attempt.go(way)?;
            if ssh.authenticated() {
                break;
            }
            let then = match attempt.wanted() {
                Ok(then) => then,
                Err(error) => return Err(attempt.hung_up(error)),
            };
            if wants_more(&wanted, &then) {
                attempt.refused.pop();
            } else if way == Way::Password {
                // The same words again would count as another failure.
                left.retain(|way| *way != Way::Dialogue);
            }
            wanted = then;
        }
        Ok(())
    }
}

/// A way to log in (RFC 4252; RFC 4256).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Key,
    Agent,
    Password,
    /// The server asks questions, and is told the password.
    Dialogue,
}

impl Way {
    /// Those that there are, in the order in which they are tried.
    fn all_of(place: &Sftp) -> Vec<Way> {
        let login = &place.login;
        let key = login.key.is_some().then_some(Way::Key);
        let agent = login.agent.then_some(Way::Agent);
        let password = login.password.is_some().then_some([Way::Password, Way::Dialogue]);
        key.into_iter().chain(agent).chain(password.into_iter().flatten()).collect()
    }

    /// Its name in the protocol.
    fn method(self) -> &'static str {
        match self {
            Way::Key | Way::Agent => "publickey",
            Way::Password => "password",
            Way::Dialogue => "keyboard-interactive",
        }
    }

    /// What is shown to the server, for a person.
    fn what(self, place: &Sftp) -> String {
        let of = |secret: &Option<SecretSource>| match secret {
            Some(secret) => format!(" in {secret}"),
            None => String::new(),
        };
        match self {
            Way::Key => {
                let key = place.login.key.as_ref().map(|(key, _)| key.clone());
                format!("the key{}", of(&key))
            }
            Way::Agent => "the agent's keys".to_owned(),
            Way::Password => format!("the password{}", of(&place.login.password)),
            Way::Dialogue => {
                format!("the password{} (keyboard-interactive)", of(&place.login.password))
            }
        }
    }
}

struct Attempt<'a> {
    ssh: &'a ssh2::Session,
    place: &'a Sftp,
    server: &'a str,
    /// What was shown and not taken.
    refused: Vec<String>,
    /// Remembers that the password was told.
    cord: &'a Cord,
}

impl Attempt<'_> {
    /// What the server asks for now: names with commas between.
    fn wanted(&self) -> anyhow::Result<String> {
        let ask = || self.ssh.auth_methods(&self.place.user).map(str::to_owned);
        // ssh2 panics on names that are not UTF-8.
        let answer = catch_unwind(AssertUnwindSafe(ask))
            .map_err(|_| anyhow!("its answer cannot be read"))
            .and_then(|answer| answer.map_err(anyhow::Error::new));
        answer.with_context(|| format!("{} does not say how to log in", self.server))
    }

    /// Tries a way. Whether it was the right one, the session knows.
    fn go(&mut self, way: Way) -> Result<(), Refusal> {
        let (ssh, user) = (self.ssh, &self.place.user);
        let outcome = match way {
            Way::Key => return self.show_key(),
            Way::Agent => return self.show_agent(),
            Way::Password => {
                let password = self.password()?;
                self.cord.tell_password();
                ssh.userauth_password(user, password.reveal())
            }
            Way::Dialogue => {
                let password = self.password()?;
                let mut answers = Answers { password, told: false, cord: self.cord };
                ssh.userauth_keyboard_interactive(user, &mut answers)
            }
        };
        outcome.or_else(|error| self.refused_or(error, Refusal::Unreachable))
    }

    fn show_key(&self) -> Result<(), Refusal> {
        let Some((source, passphrase)) = &self.place.login.key else { return Ok(()) };
        let key = source.read().map_err(Refusal::Secret)?;
        // A file's last line end is not part of a secret, but of a key; editors add others.
        let text = format!("{}\n", key.reveal().replace('\r', ""));
        let passphrase = passphrase.as_ref().map(SecretSource::read).transpose();
        let passphrase = passphrase.map_err(Refusal::Secret)?;
        let shown = passphrase.as_ref().map(Secret::reveal);
        let outcome = self.ssh.userauth_pubkey_memory(&self.place.user, None, &text, shown);
        outcome.or_else(|error| {
            self.refused_or(error, |error| {
                let why = why_not_opened(&text, passphrase.is_some());
                Refusal::Secret(
                    error.context(format!("the key in {source} cannot be opened: {why}")),
                )
            })
        })
    }

    fn show_agent(&self) -> Result<(), Refusal> {
        let mut agent =
            self.ssh.agent().context("the agent cannot be asked").map_err(Refusal::Secret)?;
        let keys = agent.connect().and_then(|()| agent.list_identities());
        let keys = keys
            .and_then(|()| agent.identities())
            .context("the agent that SSH_AUTH_SOCK names does not answer")
            .map_err(Refusal::Secret)?;
        if keys.is_empty() {
            return Err(Refusal::Secret(anyhow!("the agent holds no key: add one by ssh-add")));
        }
        for key in keys.iter().take(AGENT_KEYS) {
            match agent.userauth(&self.place.user, key) {
                Ok(()) => return Ok(()),
                Err(error) => self.refused_or(error, Refusal::Secret)?,
            }
        }
        Ok(())
    }

    fn password(&self) -> Result<Secret, Refusal> {
        let source = self.place.login.password.as_ref();
        let read = source.context("there is no password").and_then(SecretSource::read);
        read.map_err(Refusal::Secret)
    }

    /// Whether an error only says that the server has refused; what else it means, if no more is
    /// known of it.
    fn refused_or(
        &self,
        error: ssh2::Error,
        otherwise: impl FnOnce(anyhow::Error) -> Refusal,
    ) -> Result<(), Refusal> {
        let in_login = || format!("{} does not finish the login", self.server);
        match error.code() {
            AUTHENTICATION_FAILED | PUBLICKEY_UNVERIFIED | PASSWORD_EXPIRED => Ok(()),
            TIMEOUT => Err(Refusal::Unreachable(anyhow!(error).context(in_login()))),
            SOCKET_SEND | SOCKET_DISCONNECT | SOCKET_RECV => {
                Err(self.hung_up(anyhow!(error).context(in_login())))
            }
            _ => Err(otherwise(error.into())),
        }
    }

    /// The server has hung up. Some do so instead of saying no; a password that was told counts as
    /// refused, since the server may count it too.
    fn hung_up(&self, error: anyhow::Error) -> Refusal {
        match self.cord.told_password() || self.refused.len() > 1 {
            true => self.refusal(&format!("it has hung up ({error:#})")),
            false => Refusal::Unreachable(error),
        }
    }

    fn refusal(&self, wish: &str) -> Refusal {
        let Attempt { server, place, .. } = self;
        let shown = match self.refused.as_slice() {
            [] => "nothing of that is configured".to_owned(),
            shown => format!("it does not take {}", shown.join(", nor ")),
        };
        let advice = format!("{server} refuses the login of {}: {shown}; {wish}", place.user);
        Refusal::Login { password: self.cord.told_password(), advice }
    }
}

/// Answers a server's questions: those whose answer is not to be seen by the password, but only
/// once, since it would not help to say it again.
struct Answers<'a> {
    password: Secret,
    told: bool,
    cord: &'a Cord,
}

impl KeyboardInteractivePrompt for Answers<'_> {
    fn prompt(&mut self, _: &str, _: &str, prompts: &[Prompt<'_>]) -> Vec<String> {
        let again = self.told;
        if prompts.iter().any(|prompt| !prompt.echo) {
            self.told = true;
            self.cord.tell_password();
        }
        let answer = |prompt: &Prompt<'_>| match prompt.echo || again {
            true => String::new(),
            false => self.password.reveal().to_owned(),
        };
        prompts.iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_asks_for_fewer_methods_has_refused_and_one_that_asks_for_others_wants_more() {
        // paramiko takes "password" from its list once one was refused.
        assert!(!wants_more("password,publickey", "publickey"));
        assert!(!wants_more("publickey,password", "publickey,password"));
        assert!(!wants_more("publickey,password", "password,publickey"));
        assert!(wants_more("publickey", "password"));
        assert!(wants_more("publickey,password", "publickey,keyboard-interactive"));
    }

    #[test]
    fn whatever_goes_wrong_after_a_password_was_told_counts_as_its_refusal() {
        let advice = || "p.example refuses the login".to_owned();
        let faults = [
            Refusal::Login { password: false, advice: advice() },
            Refusal::Unreachable(anyhow!("it has hung up")),
            Refusal::Secret(anyhow!("the key cannot be opened")),
        ];
        for fault in faults {
            let text = fault.to_string();
            let Refusal::Login { password: true, advice } = counted(fault, true) else {
                panic!("{text}");
            };
            assert!(advice.starts_with(&text), "{advice}");
        }
        let untold = counted(Refusal::Unreachable(anyhow!("it has hung up")), false);
        assert!(matches!(untold, Refusal::Unreachable(_)));
        let untold = counted(Refusal::Login { password: true, advice: advice() }, false);
        assert!(matches!(untold, Refusal::Login { password: false, .. }));
    }
}
