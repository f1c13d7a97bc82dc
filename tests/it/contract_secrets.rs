//! Secrets never appear (design, section 3.11): not in output, state, or results, whatever goes
//! wrong.

use crate::contract_fake::*;
use crate::contract_shop::*;

const TOKEN: &str = "token-that-nobody-may-see";
const SCR_SECRET: &str = "scr-secret-of-thirty-two-bytes-or-more";

/// Fails if one of the secrets is anywhere.
#[track_caller]
fn nothing_tells(provider: &crate::harness::Provider, outputs: &[String]) {
    let secrets = [
        PASSWORD,
        CLIENT_SECRET,
        SUBSCRIPTION_KEY,
        TOKEN,
        SCR_SECRET,
        "pass+word",
        "pass%20word",
        "cl1ent%2Bsecret",
    ];
    for secret in secrets {
        for output in outputs {
            assert!(!output.contains(secret), "{secret} in:\n{output}");
        }
        for folder in ["state", "inbox"] {
            for file in files_below(&provider.path(folder)) {
                let bytes = std::fs::read(&file).unwrap();
                assert!(!holds(&bytes, secret), "{secret} in {}", file.display());
            }
        }
    }
}

#[test]
fn no_secret_is_in_output_state_or_results_whatever_the_servers_answer() {
    // The server echoes what it was sent, as some do in their error pages.
    for status in [200u16, 400, 401, 403, 404, 413, 500, 503] {
        for at_token in [false, true] {
            let fake = Fake::start(move |seen, _| {
                let token_call = seen.path == "/connect/token";
                if token_call == at_token || (!at_token && !token_call) {
                    let echo =
                        format!("{:?} {}", seen.headers, String::from_utf8_lossy(&seen.body));
                    if !(token_call && status == 200) {
                        return answer(status, echo);
                    }
                }
                match token_call {
                    true => token(TOKEN, 3600),
                    false => answer(200, ""),
                }
            });
            let provider = shop(&fake);
            acme(
                &provider,
                &releases(QUICK).replace(
                    "\n[channels.releases]",
                    "subscription_key = { file = \"../secrets/key\" }\n\n[channels.releases]",
                ),
            );
            provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n;2\n");
            let mut outputs = Vec::new();
            for arguments in [
                &["-vv", "run", "--once", "--wait", "300ms"][..],
                &["run", "--once", "--log-format", "json", "-vv"],
                &["status"],
                &["status", "--json"],
                &["quarantine", "list"],
                &["check", "-vv"],
                &["check", "--connect", "-vv"],
                &["check-ledger"],
            ] {
                let run = run_with(&provider.path(""), arguments, &[("RUST_LOG", "trace")]);
                outputs.extend([run.stdout, run.stderr]);
            }
            nothing_tells(&provider, &outputs);
        }
    }
}

#[test]
fn the_key_of_scr_and_its_tokens_are_not_told_either() {
    let fake = Fake::start(|seen, _| {
        answer(
            500,
            serde_json::json!({"code": 1, "description": seen.header("authorization")}).to_string(),
        )
    });
    let url = fake.url();
    let provider = shop_with(
        &fake,
        &format!(
            "\n[scr.wallet-a]\nurl = \"{url}/scr\"\nauth = {{ type = \"signed-jwt\", algorithm = \"HS256\", key = {{ file = \"secrets/scr\" }} }}\n"
        ),
    );
    provider.secret("scr", SCR_SECRET);
    provider.mapping("drivers", "[input]\nformat = \"csv\"\n[output]\nformat = \"json\"\n[[fields]]\nto = \"release.address\"\nfrom = \"A\"\n[[fields]]\nto = \"action\"\nvalue = \"unassign\"\n");
    acme(
        &provider,
        &format!(
            "\n[channels.out]\ntype = \"scr\"\napi = \"wallet-a\"\n{QUICK}\n\n[[routes]]\nsource = \"erp\"\nfiles = \"*\"\nmapping = \"drivers\"\nchannel = \"out\"\n"
        ),
    );
    provider.drop_file("acme", "A.csv", "A,B\n0x12,1\n");
    let mut outputs = Vec::new();
    for arguments in [
        &["-vv", "run", "--once", "--wait", "300ms"][..],
        &["status"],
        &["status", "--json"],
        &["check", "--connect"],
    ] {
        let run = run_with(&provider.path(""), arguments, &[("RUST_LOG", "trace")]);
        outputs.extend([run.stdout, run.stderr]);
    }
    nothing_tells(&provider, &outputs);
    let tokens: Vec<String> = fake
        .to("/scr")
        .iter()
        .map(|call| call.header("authorization").trim_start_matches("Bearer ").to_owned())
        .filter(|token| !token.is_empty())
        .collect();
    assert!(!tokens.is_empty());
    for token in tokens {
        for output in &outputs {
            assert!(!output.contains(&token), "{output}");
        }
        for file in files_below(&provider.path("state")) {
            assert!(!holds(&std::fs::read(&file).unwrap(), &token), "{}", file.display());
        }
    }
}
