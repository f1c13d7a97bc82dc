//! The way to the servers: client certificates where a server asks for one, and the proxy that the
//! environment names.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::Provider;

fn key_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/remote/test_keys").join(name)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// TLS before a plain server, for `port.example` and `localhost`; with `asks`, only for clients that
/// show the test's certificate. Tells the port.
fn tls_before(runtime: &Runtime, fake: &Fake, asks: bool) -> u16 {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match asks {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(key_file("tls-client.pem")).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        false => builder.with_no_client_auth(),
    };
    let certificate = CertificateDer::from_pem_file(key_file("tls-port.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(key_file("tls-port-key.pem")).unwrap();
    let config = builder.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let plain = fake.url().trim_start_matches("http://").to_owned();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(plain).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    port
}

/// A proxy that leads every CONNECT to this port of our own. Tells its URL, and what it was asked.
fn proxy(runtime: &Runtime, port: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kept = Arc::clone(&asked);
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let line = head.lines().next().unwrap().to_owned();
                let leads = line.starts_with("CONNECT port.example:443 ");
                asked.lock().unwrap().push(line);
                if !leads {
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (url, asked)
}

/// A provider with one customer and one file, whose servers are below `url`, with further keys of
/// the client.
fn provider_at(fake: &Fake, url: &str, client: &str) -> Provider {
    let ca = format!("ca = \"{}\"\n", key_file("tls-port.pem").display());
    let provider = ready(fake, &format!("{QUICK}\n{ca}"));
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let config = config.replace(&fake.url(), url);
    let client = format!("[clients.nxtport]\n{ca}{client}");
    let wallet = format!(
        "\n[scr.wallet-a]\nurl = \"{url}/wallet\"\nauth = {{ type = \"none\" }}\n{ca}{}",
        client.lines().skip(2).map(|line| format!("{line}\n")).collect::<String>()
    );
    provider.file("lighterman.toml", config.replace("[clients.nxtport]\n", &client) + &wallet);
    provider
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_it() {
    let (runtime, fake) = (runtime(), Fake::willing());
    let port = tls_before(&runtime, &fake, true);
    let url = format!("https://localhost:{port}");
    let provider = provider_at(&fake, &url, "");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "without a certificate nobody is let in: {run}");
    assert!(fake.seen().is_empty());
    assert_eq!(provider.records("acme", "deferred"), 2, "{}", provider.status());

    let key = std::fs::read_to_string(key_file("tls-client-key.pem")).unwrap();
    let client = format!(
        "certificate = \"{}\"\nkey = {{ file = \"secrets/tls\" }}\n",
        key_file("tls-client.pem").display()
    );
    let provider = provider_at(&fake, &url, &client);
    provider.secret("tls", &key);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.to("/connect/token").len(), 1);
    assert_eq!(fake.to("/ingestion").len(), 1);
    assert!(!format!("{run}").contains(key.lines().nth(1).unwrap()));

    let acme = std::fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let channel = "\n[channels.drivers]\ntype = \"scr\"\napi = \"wallet-a\"\n";
    provider.file("customers/acme.toml", acme + channel);
    provider.run(&["check", "--connect"]);
    assert_eq!(fake.to("/wallet/releases").len(), 1, "the certificate of the SCR API");
}

#[test]
fn the_proxy_of_the_environment_is_used_but_for_those_it_leaves_out() {
    let (runtime, fake) = (runtime(), Fake::willing());
    let port = tls_before(&runtime, &fake, false);
    let (proxy, asked) = proxy(&runtime, port);
    let provider = provider_at(&fake, "https://port.example", "");
    let run = |no_proxy: &str| {
        let environment = [("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", no_proxy)];
        run_with(&provider.path(""), &["run", "--once"], &environment)
    };
    let ran = run("other.example, .port.example.org");
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(fake.to("/ingestion").len(), 1);
    let lines = asked.lock().unwrap().clone();
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line == "CONNECT port.example:443 HTTP/1.1"), "{lines:?}");

    provider.drop_file("acme", "B.csv", "ID;WEIGHT\n003;10\n");
    let ran = run("port.example");
    assert_eq!(ran.code, 75, "there is no such host: {ran}");
    assert_eq!(asked.lock().unwrap().len(), lines.len());
}
