//! Callback: a sender of notifications, as an SCR API or CPu is one: plain HTTP, and a signed JWT.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The secret that the SCR API signs its callbacks with.
pub const CALLBACK_KEY: &str = "the-secret-of-callbacks-of-32-bytes!";

/// An address that is free for a moment.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A JWT that is valid for so many seconds.
pub fn jwt(algorithm: Algorithm, key: &EncodingKey, seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({ "iat": now, "exp": now + seconds, "n": uuid::Uuid::new_v4().to_string() });
    encode(&Header::new(algorithm), &claims, key).unwrap()
}

/// The header with a fresh token, signed by the secret of callbacks.
pub fn signed() -> String {
    let key = EncodingKey::from_secret(CALLBACK_KEY.as_bytes());
    format!("Authorization: Bearer {}", jwt(Algorithm::HS256, &key, 60))
}

/// "The onRelease event type" of SCR API 1.2.9.
pub fn on_release(event: &str, address: &str, vat: &str) -> Value {
    json!({ "release": address, "event": event, "organization": "0x5e1f", "vat": vat })
}

/// The bytes of a POST.
pub fn request(path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    [request.as_bytes(), b"Connection: close\r\n\r\n", body].concat()
}

/// Posts, and tells the status; none if the connection ended without an answer.
pub fn try_post(
    address: SocketAddr,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    // What is refused before it is read may be answered before it is written.
    let _ = stream.write_all(&request(path, headers, body));
    answer(&mut stream)
}

/// The status of the answer that a connection brings.
pub fn answer(stream: &mut impl Read) -> std::io::Result<u16> {
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..]).ok().and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// Posts JSON, and tells the status.
#[track_caller]
pub fn post(address: SocketAddr, path: &str, headers: &[&str], body: &Value) -> u16 {
    try_post(address, path, headers, body.to_string().as_bytes()).unwrap()
}
