//! Lights: the green lights of a release, their values and colours (SCR API 1.2.9, "Green lights").

use std::collections::BTreeMap;

use anyhow::bail;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Light, value and colour, as the document's table has them.
const TABLE: [(&str, &str, &str); 32] = [
    ("commercialrelease", "ok", "green"),
    ("commercialrelease", "nok", "red"),
    ("commercialrelease", "unknown", "gray"),
    ("commercialrelease", "blocked", "red"),
    ("commercialrelease", "expired", "red"),
    ("customs", "notreleased", "red"),
    ("customs", "selectedforscan", "yellow"),
    ("customs", "released", "green"),
    ("customs", "transhipment", "yellow"),
    ("customs", "portequalisation", "yellow"),
    ("customs", "favv", "yellow"),
    ("customs", "documentarycontrol", "red"),
    ("customsprogress", "unknown", "gray"),
    ("customsprogress", "partiallycleared", "yellow"),
    ("gateoperation", "unknown", "gray"),
    ("gateoperation", "gateoutreceived", "green"),
    ("gateoperation", "gateoutcancelled", "gray"),
    ("gateoperation", "gateincancelled", "gray"),
    ("pickuplight", "unknown", "gray"),
    ("pickuplight", "assigned", "green"),
    ("pickuplight", "revoked", "red"),
    ("terminaloperation", "unknown", "gray"),
    ("terminaloperation", "loaded", "red"),
    ("terminaloperation", "discharged", "green"),
    ("terminaloperation", "loadcancelled", "gray"),
    ("terminaloperation", "dischargecancelled", "gray"),
    ("terminaloperation", "gatein", "green"),
    ("terminalready", "unknown", "gray"),
    ("terminalready", "selectedforscan", "yellow"),
    ("terminalready", "blocked", "red"),
    ("terminalready", "released", "green"),
    ("terminalready", "archived", "red"),
];

/// The lights that the total depends on.
const RELEVANT: [&str; 4] = ["commercialrelease", "terminaloperation", "terminalready", "customs"];

/// The lights of one release.
#[derive(Default)]
pub(super) struct Lights(BTreeMap<&'static str, (&'static str, &'static str, String)>);

impl Lights {
    /// Whether these values are all in the document's table.
    pub fn check(values: &BTreeMap<String, String>) -> anyhow::Result<()> {
        for (light, value) in values {
            if !TABLE.iter().any(|row| (row.0, row.1) == (light, value)) {
                bail!("the document knows no light {light:?} that shows {value:?}");
            }
        }
        Ok(())
    }

    /// Has a light show a value; one that the table does not have is left out.
    pub fn show(&mut self, light: &str, value: &str, at: Option<Timestamp>) {
        if let Some((light, value, colour)) =
            TABLE.into_iter().find(|row| (row.0, row.1) == (light, value))
        {
            let at = at.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default();
            self.0.insert(light, (value, colour, at));
        }
    }

    /// As a release shows them.
    pub fn json(&self) -> Value {
        let lights = self.0.iter().map(|(light, (value, colour, at))| {
            let shown = json!({ "color": colour, "value": value, "updatedAt": at });
            ((*light).to_owned(), shown)
        });
        json!({ "total": self.total(), "events": Value::Object(lights.collect()), "source": "NxtPort" })
    }

    /// "The total light is green when the four relevant lights are also green", "yellow when the
    /// customs light is yellow", and "in all other cases red".
    fn total(&self) -> &'static str {
        let colour = |light: &str| self.0.get(light).map_or("gray", |(_, colour, _)| *colour);
        if RELEVANT.into_iter().all(|light| colour(light) == "green") {
            "green"
        } else if colour("customs") == "yellow" {
            "yellow"
        } else {
            "red"
        }
    }
}
