//! A server of the contract tests' own: raw HTTP/1.1 over threads. It shares nothing with the
//! sandbox, so that a misreading of the remote APIs cannot agree with itself.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The fields of a form, decoded.
    pub fn form(&self) -> BTreeMap<String, String> {
        decoded(&self.text())
    }

    /// The parameters of the query, decoded.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        decoded(&self.query)
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub after: Duration,
    /// The connection is closed instead.
    pub dropped: bool,
}

pub fn answer(status: u16, body: impl Into<String>) -> Answer {
    let headers = Vec::new();
    Answer { status, headers, body: body.into(), after: Duration::ZERO, dropped: false }
}

pub fn dropped() -> Answer {
    Answer { dropped: true, ..answer(200, "") }
}

impl Answer {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    pub fn after(self, after: Duration) -> Answer {
        Answer { after, ..self }
    }
}

/// A token server's answer.
pub fn token(text: &str, seconds: u64) -> Answer {
    let body =
        format!(r#"{{"access_token":"{text}","token_type":"Bearer","expires_in":{seconds}}}"#);
    answer(200, body).with("content-type", "application/json")
}

type Handler = dyn Fn(&Seen, usize) -> Answer + Send + Sync;

/// The server. It stops when this is dropped.
pub struct Fake {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    most_open: Arc<AtomicUsize>,
}

impl Fake {
    /// Answers every request by `handler`, which is told how many came before on the same method
    /// and path. Tokens are given out to whoever asks unless `handler` knows better: it gives 0
    /// as status to leave a request to the defaults.
    pub fn start(handler: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let handler: Arc<Handler> = Arc::new(handler);
        let fake =
            Fake { address, seen: Arc::default(), stop: Arc::default(), most_open: Arc::default() };
        let open = Arc::new(AtomicUsize::new(0));
        let (seen, stop, most) = (fake.seen.clone(), fake.stop.clone(), fake.most_open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (handler, seen) = (handler.clone(), seen.clone());
                let (open, most) = (open.clone(), most.clone());
                std::thread::spawn(move || serve(&stream, &*handler, &seen, &open, &most));
            }
        });
        fake
    }

    /// One that takes everything.
    pub fn willing() -> Fake {
        Fake::start(|_, _| answer(0, ""))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests whose path starts so, in the order in which they came.
    pub fn to(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.path.starts_with(path)).collect()
    }

    /// The most requests that change something that were open at once.
    pub fn most_open(&self) -> usize {
        self.most_open.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(
    stream: &TcpStream,
    handler: &Handler,
    seen: &Mutex<Vec<Seen>>,
    open: &AtomicUsize,
    most: &AtomicUsize,
) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = receive(&mut reader) {
        let writes = request.method != "GET";
        if writes {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        }
        let earlier = {
            let mut seen = seen.lock().unwrap();
            let same = |other: &&Seen| other.method == request.method && other.path == request.path;
            let earlier = seen.iter().filter(same).count();
            seen.push(request.clone());
            earlier
        };
        let mut answer = handler(&request, earlier);
        if answer.status == 0 {
            answer = default(&request);
        }
        std::thread::sleep(answer.after);
        if writes {
            open.fetch_sub(1, Ordering::SeqCst);
        }
        if answer.dropped || send(stream, &answer).is_err() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn default(request: &Seen) -> Answer {
    match request.path.as_str() {
        "/connect/token" => token("token-of-the-default", 3600),
        path if path.ends_with("/assign") => answer(204, ""),
        path if path.ends_with("/unassign") => answer(202, ""),
        _ => answer(200, "{}"),
    }
}

fn receive(reader: &mut BufReader<&TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let name = name.to_ascii_lowercase();
        assert!(
            headers.insert(name.clone(), value.trim().to_owned()).is_none(),
            "the header {name} came twice"
        );
    }
    let length = headers.get("content-length").map_or(0, |length: &String| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    Some(Seen { method, path, query, headers, body })
}

fn send(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {} Told\r\n", answer.status);
    for (name, value) in &answer.headers {
        text += &format!("{name}: {value}\r\n");
    }
    if answer.status != 204 {
        text += &format!("content-length: {}\r\n", answer.body.len());
    }
    text += "\r\n";
    if answer.status != 204 {
        text += &answer.body;
    }
    stream.write_all(text.as_bytes())
}

fn decoded(form: &str) -> BTreeMap<String, String> {
    let fields = form.split('&').filter(|field| !field.is_empty());
    fields
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
