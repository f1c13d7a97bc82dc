//! Verdict: what an answer means for the message and for its channel. Pure; the table is the
//! design's section 4.4.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::AnswerRule;
use crate::ledger::AlarmKind;
use crate::model::{Answer, Reply};
use crate::remote::speaks_of_subscription_key;

/// Which table judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// An NxtPort ingestion channel.
    Ingestion,
    /// An SCR API.
    Scr,
    /// Certified Pick up.
    Cpu,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The channel has the message.
    Delivered,
    /// The call is accepted, not done: it is still to be confirmed.
    Accepted,
    /// The message cannot succeed as it is: its record, or one of its records, is to blame.
    Refused(String),
    /// The message is too large.
    TooLarge(String),
    /// It may succeed later.
    Later {
        /// Why, for people.
        reason: String,
        /// How long the server asks to be left alone.
        hold: Option<Duration>,
        /// What came back.
        heard: Heard,
    },
    /// No record is to blame: the channel pauses until it works again.
    Pause(AlarmKind, String),
}

/// What came back of an attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A fault of the server, which may mean this message: then the wait counts towards
    /// `give_up_after`, unless the channel is paused.
    Fault,
    /// A fault that an SCR API describes: its word on this message (design, section 4.4).
    Word,
    /// The server is busy, or only what stands before it answered: no word on the message.
    Busy,
    /// Nothing: it was not sent.
    Nothing,
    /// Nothing, though it was sent: the server may have taken it.
    Lost,
    /// Nothing in time: the server may have taken it, and may be at work on it still.
    TimedOut,
}

impl Heard {
    /// Whether the server may have the message, for all that is known.
    pub fn may_have_arrived(self) -> bool {
        matches!(self, Heard::Lost | Heard::TimedOut)
    }
}

/// Judges what came back for one attempt; `rules` are the channel's `answers`.
pub fn judge(remote: Remote, reply: &Reply, rules: &BTreeMap<u16, AnswerRule>) -> Verdict {
    match reply {
        Reply::Answered(answer) => match rules.get(&answer.status) {
            Some(AnswerRule::Delivered) => Verdict::Delivered,
            Some(AnswerRule::Record) => Verdict::Refused(told(answer)),
            Some(AnswerRule::Channel) => {
                Verdict::Pause(AlarmKind::ChannelRefused, channel_advice(answer))
            }
            Some(AnswerRule::Later) => later(answer),
            None => judge_status(remote, answer),
        },
        Reply::TimedOut => silent("no answer within the time-out", Heard::TimedOut),
        Reply::Lost(why) => silent(why, Heard::Lost),
        Reply::Broken(why) | Reply::NoLogin(why) => silent(why, Heard::Nothing),
        Reply::LoginRefused(why) if remote == Remote::Scr => Verdict::Pause(
            AlarmKind::LoginRefused,
            format!("calls cannot be signed: {why}; mend the key of the SCR API"),
        ),
        Reply::LoginRefused(why) => Verdict::Pause(
            AlarmKind::LoginRefused,
            format!("the login is refused: {why}; correct the user, the password or the client"),
        ),
    }
}

fn judge_status(remote: Remote, answer: &Answer) -> Verdict {
    match answer.status {
        202 if remote != Remote::Ingestion => Verdict::Accepted,
        200..=299 => Verdict::Delivered,
        401 if speaks_of_subscription_key(&answer.text) => Verdict::Pause(
            AlarmKind::SubscriptionKey,
            format!("the subscription key is refused: {}; correct it", told(answer)),
        ),
        401 if remote == Remote::Scr => Verdict::Pause(
            AlarmKind::LoginRefused,
            format!(
                "the SCR API refuses the signed token: {}; compare key and algorithm with its \
                 configuration.json, and the clocks",
                told(answer)
            ),
        ),
        401 => Verdict::Pause(
            AlarmKind::LoginRefused,
            format!(
                "the channel refuses a fresh token: {}; see what the login may do",
                told(answer)
            ),
        ),
        403 if answer.retry_after.is_some() => later(answer),
        500 if remote == Remote::Scr && description(&answer.text).is_some() => {
            Verdict::Later { reason: told(answer), hold: answer.retry_after, heard: Heard::Word }
        }
        408 | 425 | 429 | 500..=599 => later(answer),
        413 => Verdict::TooLarge(told(answer)),
        400 | 409 | 422 => Verdict::Refused(told(answer)),
        // "Invalid input" (reference/domain.md, section 3).
        405 if remote == Remote::Cpu => Verdict::Refused(told(answer)),
        _ => Verdict::Pause(AlarmKind::ChannelRefused, channel_advice(answer)),
    }
}

fn later(answer: &Answer) -> Verdict {
    let heard = match answer.status {
        // 502, 503 and 504 tell that the server is not there (RFC 9110, section 15.6).
        502..=504 => Heard::Busy,
        500..=599 => Heard::Fault,
        _ => Heard::Busy,
    };
    Verdict::Later { reason: told(answer), hold: answer.retry_after, heard }
}

fn silent(why: &str, heard: Heard) -> Verdict {
    Verdict::Later { reason: why.to_owned(), hold: None, heard }
}

fn channel_advice(answer: &Answer) -> String {
    format!(
        "the channel answers {}; compare its URL and channel id with what the platform gave out, \
         and ask whether the login may use it",
        told(answer)
    )
}

/// An answer's status and text, short enough for a cell.
pub fn told(answer: &Answer) -> String {
    let text = description(&answer.text).unwrap_or_else(|| answer.text.clone());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(500) {
        Some((end, _)) => format!("{} {}…", answer.status, &text[..end]),
        None if text.is_empty() => answer.status.to_string(),
        None => format!("{} {text}", answer.status),
    }
}

/// Whether an SCR API answers that there is no such release: by 404, 410 or a fault's description.
///
/// The fault is a 500 with `{code, description}`, whose codes are not documented (reference/domain.md,
/// section 4).
pub fn is_not_found(answer: &Answer) -> bool {
    match answer.status {
        404 | 410 => true,
        500 => description(&answer.text)
            .is_some_and(|description| description.to_lowercase().contains("not found")),
        _ => false,
    }
}

/// SCR's `{code, description}` (SCR API 1.2.9, "Error codes"), read for people.
fn description(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Fault {
        code: serde_json::Value,
        description: String,
    }
    let fault: Fault = serde_json::from_str(text).ok()?;
    Some(format!("code {}: {}", fault.code, fault.description))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, text: &str) -> Reply {
        Reply::Answered(Answer { status, retry_after: None, text: text.to_owned() })
    }

    fn word(remote: Remote, status: u16) -> &'static str {
        match judge(remote, &answered(status, ""), &BTreeMap::new()) {
            Verdict::Delivered => "delivered",
            Verdict::Accepted => "accepted",
            Verdict::Refused(_) => "record",
            Verdict::TooLarge(_) => "smaller",
            Verdict::Later { .. } => "later",
            Verdict::Pause(..) => "channel",
        }
    }

    #[test]
    fn every_status_has_the_verdict_of_the_table() {
        let table = [
            ("delivered", vec![200, 201, 204]),
            ("later", vec![408, 425, 429, 500, 502, 503, 504, 507]),
            ("record", vec![400, 409, 422]),
            ("smaller", vec![413]),
            ("channel", vec![301, 302, 307, 401, 402, 403, 404, 405, 410, 415]),
        ];
        for (verdict, statuses) in table {
            for status in statuses {
                assert_eq!(word(Remote::Ingestion, status), verdict, "ingestion {status}");
                assert_eq!(word(Remote::Scr, status), verdict, "scr {status}");
                if status != 405 {
                    assert_eq!(word(Remote::Cpu, status), verdict, "cpu {status}");
                }
            }
        }
        assert_eq!(word(Remote::Ingestion, 202), "delivered");
        assert_eq!(word(Remote::Scr, 202), "accepted");
        assert_eq!(word(Remote::Cpu, 202), "accepted");
        assert_eq!(word(Remote::Cpu, 405), "record");
    }

    #[test]
    fn a_forbidden_with_a_time_comes_back_later() {
        let answer = Answer {
            status: 403,
            retry_after: Some(Duration::from_secs(7)),
            text: "quota".to_owned(),
        };
        assert_eq!(
            judge(Remote::Ingestion, &Reply::Answered(answer), &BTreeMap::new()),
            Verdict::Later {
                reason: "403 quota".to_owned(),
                hold: Some(Duration::from_secs(7)),
                heard: Heard::Busy
            }
        );
    }

    #[test]
    fn what_was_heard_tells_whether_a_wait_counts_and_whether_the_message_may_be_there() {
        let heard = |reply: &Reply| match judge(Remote::Ingestion, reply, &BTreeMap::new()) {
            Verdict::Later { heard, .. } => heard,
            other => panic!("{other:?}"),
        };
        for status in [500, 501, 505, 507, 599] {
            assert_eq!(heard(&answered(status, "")), Heard::Fault, "{status}");
        }
        for status in [408, 425, 429, 502, 503, 504] {
            assert_eq!(heard(&answered(status, "")), Heard::Busy, "{status}");
        }
        assert_eq!(heard(&Reply::TimedOut), Heard::TimedOut);
        assert_eq!(heard(&Reply::Lost(String::new())), Heard::Lost);
        assert_eq!(heard(&Reply::Broken(String::new())), Heard::Nothing);
        assert_eq!(heard(&Reply::NoLogin(String::new())), Heard::Nothing);
        let unsure = [Heard::Lost, Heard::TimedOut].map(Heard::may_have_arrived);
        assert_eq!(unsure, [true, true]);
        let sure = [Heard::Fault, Heard::Busy, Heard::Nothing].map(Heard::may_have_arrived);
        assert_eq!(sure, [false, false, false]);
    }

    #[test]
    fn a_refused_subscription_key_is_told_apart() {
        let reply = answered(401, "Access denied due to missing subscription key.");
        let verdict = judge(Remote::Ingestion, &reply, &BTreeMap::new());
        assert!(matches!(verdict, Verdict::Pause(AlarmKind::SubscriptionKey, _)), "{verdict:?}");
    }

    #[test]
    fn the_configuration_overrides_the_table() {
        let rules = BTreeMap::from([
            (409, AnswerRule::Delivered),
            (404, AnswerRule::Later),
            (401, AnswerRule::Record),
            (500, AnswerRule::Record),
            (503, AnswerRule::Channel),
            (200, AnswerRule::Record),
        ]);
        let judged = |status| judge(Remote::Ingestion, &answered(status, ""), &rules);
        assert_eq!(judged(409), Verdict::Delivered);
        assert!(matches!(judged(404), Verdict::Later { .. }));
        assert!(matches!(judged(401), Verdict::Refused(_)));
        assert!(matches!(judged(500), Verdict::Refused(_)));
        assert!(matches!(judged(503), Verdict::Pause(AlarmKind::ChannelRefused, _)));
        assert!(matches!(judged(200), Verdict::Refused(_)));
        assert_eq!(judged(201), Verdict::Delivered);
    }

    #[test]
    fn that_there_is_no_such_release_is_told_by_status_or_by_words() {
        let is_not_found = |status: u16, text: &str| {
            is_not_found(&Answer { status, retry_after: None, text: text.to_owned() })
        };
        assert!(is_not_found(404, "") && is_not_found(410, "<html>"));
        assert!(is_not_found(500, r#"{"code":4,"description":"Release 0xab Not Found"}"#));
        assert!(!is_not_found(500, r#"{"code":4,"description":"an error"}"#));
        assert!(!is_not_found(500, "not found"), "it is not the API's own fault");
        assert!(!is_not_found(503, r#"{"code":4,"description":"not found"}"#));
    }

    #[test]
    fn an_scr_fault_is_told_with_code_and_description() {
        let answer = Answer {
            status: 500,
            retry_after: None,
            text: r#"{"code": 17, "description": "not the\n owner"}"#.to_owned(),
        };
        assert_eq!(told(&answer), "500 code 17: not the owner");
    }
}
