//! The problems file: one row a problem, beside the rejects.

use std::path::Path;

use anyhow::Context;

use crate::disk;
use crate::model::Problem;

/// Writes `record,line,level,field,value,rule,advice`, one row a problem.
pub fn write(problems: &[Problem], path: &Path) -> anyhow::Result<()> {
    disk::write_whole(path, &table(problems)?, super::MODE)
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn table(problems: &[Problem]) -> anyhow::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["record", "line", "level", "field", "value", "rule", "advice"])?;
    for problem in problems {
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
    Ok(table.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Level;

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
        let table = String::from_utf8(table(&[problem]).unwrap()).unwrap();
        assert_eq!(
            table,
            "record,line,level,field,value,rule,advice\n\
             3,5,reject,CONT_NO,\"a;\"\"b\"\"\nc\",iso6346,check digit should be 3\n"
        );
    }
}
