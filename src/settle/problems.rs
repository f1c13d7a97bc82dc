//! The problems file: one row a problem, beside the rejects.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;

use crate::disk::Unfinished;
use crate::spool::Problems;

/// Writes `record,line,level,field,value,rule,advice`, one row a problem.
pub fn write(problems: &Problems, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", path.display());
    let mut file = BufWriter::new(Unfinished::begin(path, super::MODE).with_context(cannot)?);
    table(problems, &mut file).with_context(cannot)?;
    let file = file.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    file.replace().with_context(cannot)
}

fn table(problems: &Problems, to: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(to);
    table.write_record(["record", "line", "level", "field", "value", "rule", "advice"])?;
    for problem in problems.iter() {
        let problem = problem?;
        table.write_record([
            &problem.record.to_string(),
            &problem.line.to_string(),
            problem.level.word(),
            &problem.field,
            &problem.value,
            &problem.rule,
            &problem.advice,
        ])?;
    }
    Ok(table.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Level, Problem};

    #[test]
    fn a_problem_is_one_row_whatever_its_value_holds() {
        let problem = Problem {
            record: 3,
            line: 5,
            level: Level::Reject,
            field: "CONT_NO".to_owned(),
            value: "a;\"b\"\nc".to_owned(),
            rule: "iso6346".to_owned(),
            advice: "check digit should be 3".to_owned(),
        };
        let mut text = Vec::new();
        table(&vec![problem].into(), &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "record,line,level,field,value,rule,advice\n\
             3,5,reject,CONT_NO,\"a;\"\"b\"\"\nc\",iso6346,check digit should be 3\n"
        );
    }
}
