//! Stand-ins: in an environment that shows others what was sent, drivers go out under invented
//! names. The same driver is always the same stand-in, and different drivers are different ones.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use uuid::Uuid;

use crate::disk;
use crate::remote::release::{Assignee, Driver};

/// A key that nobody outside can guess, so that nobody can try out numbers for their stand-ins.
type Key = [u8; 32];

/// The stand-ins of one environment.
pub struct StandIns {
    /// Where the key lies, or will.
    file: PathBuf,
    /// Read when first needed.
    key: Mutex<Option<Key>>,
}

impl StandIns {
    /// Those by the key in this file, which is made when it is first needed.
    pub fn new(file: PathBuf) -> StandIns {
        StandIns { file, key: Mutex::default() }
    }

    /// Who goes out in somebody's place. A barge is a ship: it goes out as it is.
    pub fn of(&self, to: &Assignee) -> anyhow::Result<Assignee> {
        match to {
            Assignee::Driver(driver) => Ok(Assignee::Driver(stand_in(&self.key()?, driver))),
            Assignee::Barge(barge) => Ok(Assignee::Barge(barge.clone())),
        }
    }

    fn key(&self) -> anyhow::Result<Key> {
        let mut held = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = *held {
            return Ok(key);
        }
        let cannot = || format!("the key of stand-ins {} cannot be used", self.file.display());
        let key = read(&self.file).with_context(cannot)?;
        *held = Some(key);
        Ok(key)
    }
}

/// Reads the key, and makes it where there is none.
fn read(file: &Path) -> anyhow::Result<Key> {
    let bytes = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(file)?;
            fs::read(file)?
        }
        read => read?,
    };
    let Ok(key) = Key::try_from(bytes) else {
        bail!("it is damaged: bring it back, or remove it, and every driver gets another stand-in");
    };
    Ok(key)
}

/// Makes a key that is there whole or not at all; one that another process made meanwhile stays.
fn make(file: &Path) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    disk::make_folder(folder, 0o700)?;
    let mut random = blake3::Hasher::new();
    for _ in 0..4 {
        random.update(Uuid::new_v4().as_bytes());
    }
    let making = file.with_extension(format!("{}.making", Uuid::new_v4()));
    let mut made = disk::create(&making, 0o600)?;
    disk::write(&mut made, &making, random.finalize().as_bytes())?;
    disk::sync(&made, &making)?;
    match disk::rename_new(&making, file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => disk::remove(&making),
        renamed => renamed.and_then(|()| disk::sync_folder(folder)),
    }
}

/// A driver's stand-in. All of it comes of the identification, by which the API knows a driver
/// (SCR API 1.2.9, "Assign a release"), so that another spelling of the name changes nothing.
fn stand_in(key: &Key, driver: &Driver) -> Driver {
    let mut hash = blake3::Hasher::new_keyed(key);
    hash.update(b"driver").update(driver.identification.as_bytes());
    let mut bytes = [0; 64];
    hash.finalize_xof().fill(&mut bytes);
    let (first, rest) = bytes.split_at(8);
    let (last, rest) = rest.split_at(12);
    let (mail, rest) = rest.split_at(12);
    let number = rest.iter().take(8).fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    Driver {
        first_name: name(first),
        last_name: name(last),
        identification: identification(key, &driver.identification),
        // RFC 2606, section 3: a name that belongs to nobody.
        email: driver.email.as_ref().map(|_| format!("{}@example.com", name(mail).to_lowercase())),
        // Ofcom, "Telephone numbers for drama use": mobile numbers that belong to nobody.
        phone: driver.phone.as_ref().map(|_| format!("+447700900{:03}", number % 1000)),
    }
}

/// A word that looks like a name.
fn name(bytes: &[u8]) -> String {
    let letter = |(place, byte): (usize, &u8)| {
        let letter = b'a' + byte % 26;
        char::from(if place == 0 { letter.to_ascii_uppercase() } else { letter })
    };
    bytes.iter().enumerate().map(letter).collect()
}

/// How many letters and digits there must be for others of their kind to hide them.
const ENOUGH: usize = 6;

/// How often each half is changed by the other; NIST SP 800-38G has ten rounds in FF1.
const ROUNDS: u8 = 10;

/// An identification of the same shape: digits for digits, letters for letters. Within a shape this
/// is a permutation (a Feistel network, as in NIST SP 800-38G), so that no two become the same.
fn identification(key: &Key, original: &str) -> String {
    let kept = |c: char| " -./_".contains(c);
    let plain = original.chars().all(|c| c.is_ascii_alphanumeric() || kept(c));
    let mut values: Vec<(u8, u8)> = original.bytes().filter_map(value).collect();
    if !plain || values.len() < ENOUGH {
        let mut hash = blake3::Hasher::new_keyed(key);
        hash.update(b"other").update(original.as_bytes());
        let bytes = *hash.finalize().as_bytes();
        let digits = bytes.iter().take(24).map(|byte| char::from(b'0' + byte % 10));
        return std::iter::once('T').chain(digits).collect();
    }
    let shape: String = original.chars().map(shape).collect();
    let middle = values.len() / 2;
    for round in 0..ROUNDS {
        let (left, right) = values.split_at_mut(middle);
        let (change, by) = if round % 2 == 0 { (left, right) } else { (right, left) };
        let mut hash = blake3::Hasher::new_keyed(key);
        hash.update(b"shape").update(&[round]).update(shape.as_bytes()).update(&[0]);
        by.iter().for_each(|(value, _)| {
            hash.update(&[*value]);
        });
        let mut stream = hash.finalize_xof();
        for (value, radix) in change {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            let shift = u64::from_le_bytes(bytes) % u64::from(*radix);
            *value = ((u64::from(*value) + shift) % u64::from(*radix)) as u8;
        }
    }
    let mut values = values.into_iter();
    let character = |c: char| {
        let base = match c {
            '0'..='9' => b'0',
            'a'..='z' => b'a',
            'A'..='Z' => b'A',
            _ => return c,
        };
        values.next().map_or(c, |(value, _)| char::from(base + value))
    };
    original.chars().map(character).collect()
}

/// Which of its kind a letter or digit is, and how many there are; letters of either case alike.
fn value(byte: u8) -> Option<(u8, u8)> {
    match byte {
        b'0'..=b'9' => Some((byte - b'0', 10)),
        b'a'..=b'z' => Some((byte - b'a', 26)),
        b'A'..=b'Z' => Some((byte - b'A', 26)),
        _ => None,
    }
}

/// What a character is replaced by one of.
fn shape(c: char) -> char {
    match c {
        '0'..='9' => '9',
        'a'..='z' | 'A'..='Z' => 'A',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: Key = [7; 32];

    fn driver(identification: &str) -> Driver {
        Driver {
            first_name: "An".to_owned(),
            last_name: "Peeters".to_owned(),
            identification: identification.to_owned(),
            email: Some("an@peeters.example".to_owned()),
            phone: None,
        }
    }

    #[test]
    fn no_two_identifications_of_a_shape_become_the_same() {
        let all: BTreeSet<String> =
            (0..100_000).map(|n| identification(&KEY, &format!("{n:06}"))).collect();
        assert_eq!(all.len(), 100_000);
        assert!(all.iter().all(|text| text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())));
        let short: BTreeSet<String> =
            (0..1000).map(|n| identification(&KEY, &n.to_string())).collect();
        assert_eq!(short.len(), 1000);
        assert!(short.iter().all(|text| text.len() == 25 && text.starts_with('T')));
    }

    #[test]
    fn an_identification_keeps_its_shape_and_nothing_else() {
        for (original, shape) in [
            ("205402090", "999999999"),
            ("AB-12.34 cd", "AA-99.99 AA"),
            (&"x1".repeat(127), &"A9".repeat(127)),
        ] {
            let found = identification(&KEY, original);
            assert_eq!(found.chars().map(super::shape).collect::<String>(), shape);
            assert_ne!(found, original);
            let differ = found.chars().zip(original.chars()).filter(|(a, b)| a != b).count();
            assert!(differ * 2 > original.len(), "{original} {found}");
        }
        assert_eq!(
            identification(&KEY, "ab12cd34").to_uppercase(),
            identification(&KEY, "AB12CD34"),
            "who compares without case finds the same driver"
        );
        assert!(identification(&KEY, "Жук-123456").starts_with('T'));
        assert!(identification(&KEY, "Жук-123456").is_ascii());
    }

    #[test]
    fn a_stand_in_is_the_same_for_a_driver_and_another_for_others_and_other_keys() {
        let one = stand_in(&KEY, &driver("205402090"));
        let married = Driver { last_name: "Peeters-Maes".to_owned(), ..driver("205402090") };
        assert!(one == stand_in(&KEY, &married));
        for other in
            [stand_in(&KEY, &driver("205402091")), stand_in(&[8; 32], &driver("205402090"))]
        {
            assert_ne!(one.identification, other.identification);
            assert_ne!((&one.first_name, &one.last_name), (&other.first_name, &other.last_name));
            assert_ne!(one.email, other.email);
        }
        assert!(one.email.unwrap().ends_with("@example.com"));
        assert_eq!(one.phone, None, "what a driver has not the stand-in has not");
        assert_eq!((one.first_name.len(), one.last_name.len()), (8, 12));
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_a_damaged_one_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test/stand-ins.key");
        let who = Assignee::Driver(driver("205402090"));
        let first = StandIns::new(file.clone()).of(&who).unwrap();
        assert!(StandIns::new(file.clone()).of(&who).unwrap() == first);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, fs::read(&file).unwrap().len()), (0o600, 32));
        assert_eq!(fs::read_dir(folder.path().join("test")).unwrap().count(), 1);
        fs::write(&file, "short").unwrap();
        let error = StandIns::new(file).of(&who).unwrap_err();
        assert!(format!("{error:#}").contains("damaged"), "{error:#}");
    }
}
