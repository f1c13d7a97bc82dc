//! Where secrets are, and that they never show.

use super::*;

/// What is said when acme's password is this; it stands in line 11.
fn password(value: &str) -> Vec<String> {
    acme_with("{ file = \"../secret\" }", value)
}

#[test]
fn a_secret_that_stands_in_the_config_is_an_error_that_does_not_show_it() {
    for value in ["\"hunter2\"", "123456", "[\"hunter2\"]", "{ uat = \"hunter2\" }"] {
        assert_eq!(
            password(value),
            ["customers/acme.toml:11: password must not stand in the config: keep it \
                 elsewhere and write password = { env = \"NAME\" }, { file = \"path\" } or \
                 { credential = \"name\" }"]
        );
    }
}

#[test]
fn a_secret_has_one_place() {
    let one = "customers/acme.toml:11: password must name one of env, file and credential";
    assert_eq!(password("{ }"), [one]);
    assert_eq!(password("{ env = \"PATH\", file = \"../secret\" }"), [one]);
    assert_eq!(
        password("{ flie = \"../secret\" }"),
        [
            one,
            "customers/acme.toml:11: unknown key \"flie\" in [logins.nxtport.password]: \
             did you mean \"file\"?"
        ]
    );
}

#[test]
fn a_secret_that_is_not_there_is_an_error() {
    assert_eq!(
        password("{ env = \"NOT_SET_ANYWHERE\" }"),
        ["customers/acme.toml:11: password: the environment variable NOT_SET_ANYWHERE \
             is not set"]
    );
    assert_eq!(
        password("{ file = \"none\" }"),
        ["customers/acme.toml:11: password: the secret file customers/none cannot be read: \
             No such file or directory (os error 2)"]
    );
    assert_eq!(
        password("{ file = \"../in\" }"),
        ["customers/acme.toml:11: password: the secret file customers/../in is no regular file"]
    );
    assert_eq!(
        password("{ credential = \"acme\" }"),
        ["customers/acme.toml:11: password: the credential acme is not there: \
             $CREDENTIALS_DIRECTORY is not set; add LoadCredential=acme:… to the unit"]
    );
    let folder = Folder::with(&changed(CUSTOMER, "../secret", "../empty"));
    folder.write("empty", "\n");
    assert_eq!(
        folder.faults(),
        ["customers/acme.toml:11: password: the secret in file customers/../empty is empty"
            .to_owned()]
    );
}

#[test]
fn a_variable_that_is_there_is_sound() {
    assert_eq!(password("{ env = \"PATH\" }"), [""; 0]);
}

#[test]
fn what_cannot_be_a_name_is_not_shown() {
    for value in ["\"hunter-2!\"", "\"\"", "7", "\"2x\""] {
        assert_eq!(
            password(&format!("{{ env = {value} }}")),
            ["customers/acme.toml:11: env must be the name of an environment variable: \
                 letters, digits and _"]
        );
    }
    for value in ["\"../x\"", "\"\"", "7"] {
        assert_eq!(
            password(&format!("{{ credential = {value} }}")),
            ["customers/acme.toml:11: credential must be the name of a systemd credential: \
                 no path"]
        );
    }
}

#[test]
fn a_secret_file_that_others_can_read_is_a_warning() {
    let folder = Folder::with(CUSTOMER);
    folder.write("customers/open", "abc");
    for (mode, is_open) in [(0o640, true), (0o604, true), (0o600, false), (0o400, false)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path("customers/open"), permissions).unwrap();
        folder.write("customers/acme.toml", &changed(CUSTOMER, "../secret", "open"));
        let warning = "customers/acme.toml:11: warning: customers/open is readable by others: \
                       chmod 600 customers/open";
        let told = folder.faults();
        assert_eq!(told, [warning][..usize::from(is_open)], "{mode:o}");
        assert_eq!(folder.config().customers.len(), 1);
    }
}

#[test]
fn a_secret_of_the_provider_that_is_not_there_is_everybodys_error() {
    let folder = Folder::with(CUSTOMER);
    let text = changed(PROVIDER, "{ file = \"secret\" }", "{ file = \"none\" }");
    folder.write("lighterman.toml", &text);
    assert_eq!(
        folder.told(&folder.load().unwrap_err()),
        ["lighterman.toml:10: client_secret: the secret file none cannot be read: \
             No such file or directory (os error 2)"]
    );
}

#[test]
fn a_secret_of_one_customer_that_is_not_there_leaves_that_one_out() {
    let folder = Folder::with(CUSTOMER);
    folder.write("customers/beta.toml", "[logins.a]\npassword = { file = \"none\" }\n");
    let config = folder.config();
    assert_eq!(config.customers.keys().collect::<Vec<_>>(), ["acme"]);
    assert_eq!(config.broken.keys().collect::<Vec<_>>(), ["beta"]);
}
