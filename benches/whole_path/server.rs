//! Server: takes messages over HTTP/1.1 with as little work as can be, and counts them. It runs in
//! a process of its own. It gives a token to whoever asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::measure::now;

/// Where tokens are given.
pub const TOKEN: &str = "/connect/token";
/// Where messages are taken.
pub const INGESTION: &str = "/ingestion";
const COUNTED: &str = "/counted";

/// What came in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    pub messages: u64,
    pub bytes: u64,
    /// When the first message began and the last had ended, in seconds since 1970.
    pub first: f64,
    pub last: f64,
    /// The highest number of messages that were open at once.
    pub open: u64,
}

/// The server's process. It ends when this is dropped.
pub struct Remote {
    child: Child,
    pub url: String,
}

impl Remote {
    pub fn start() -> anyhow::Result<Remote> {
        let (child, url) = child(&["serve"])?;
        Ok(Remote { child, url })
    }
}

/// What the server counted so far.
pub fn counted(server: &str) -> anyhow::Result<Counted> {
    let mut stream = TcpStream::connect(server.trim_start_matches("http://"))?;
    write!(stream, "GET {COUNTED} HTTP/1.1\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("the server did not answer")?;
    Ok(serde_json::from_str(body)?)
}

impl Drop for Remote {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Starts this program in another role; the first line that it prints is its URL.
pub fn child(arguments: &[&str]) -> anyhow::Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("a server cannot be started")?;
    let mut url = String::new();
    let output = child.stdout.as_mut().context("a server has no output")?;
    BufReader::new(output).read_line(&mut url)?;
    Ok((child, url.trim().to_owned()))
}

/// Ends a process that [`child`] started.
pub fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Serves until the process that started it is gone.
pub fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    let counted = Arc::<Mutex<(Counted, u64)>>::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                // Whoever hangs up has had enough.
                let _ = answer(stream, &counted);
            });
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answer(stream: TcpStream, counted: &Mutex<(Counted, u64)>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0_u64;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let is_message = path.starts_with(INGESTION);
        if is_message {
            let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.1 += 1;
            counted.0.open = counted.0.open.max(counted.1);
            if counted.0.messages == 0 && counted.0.first == 0.0 {
                counted.0.first = now();
            }
        }
        let mut left = length;
        while left > 0 {
            let here = reader.fill_buf()?.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if here == 0 {
                return Ok(());
            }
            reader.consume(here);
            left -= here as u64;
        }
        let body = {
            let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            if is_message {
                counted.1 -= 1;
                counted.0.messages += 1;
                counted.0.bytes += length;
                counted.0.last = now();
            }
            match path.as_str() {
                TOKEN => {
                    r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#.to_owned()
                }
                COUNTED => serde_json::to_string(&counted.0)?,
                _ => String::new(),
            }
        };
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        writer.write_all(format!("{head} {length}\r\n\r\n{body}").as_bytes())?;
        if path == COUNTED {
            return Ok(());
        }
    }
}
