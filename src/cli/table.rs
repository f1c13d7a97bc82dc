//! Table: rows for people, in columns below their heads.

/// Characters of a cell at most, but for the last of a row.
const WIDTH: usize = 40;

/// Writes rows below their heads, each column as wide as its widest cell. What a server sent cannot
/// steer the terminal.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(&heads)
        .chain(rows)
        .map(|row| {
            let last = row.len().saturating_sub(1);
            let cells = row.iter().enumerate();
            cells
                .map(|(at, text)| cell(text, if at == last { usize::MAX } else { WIDTH }))
                .collect()
        })
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A text on one line, cut where it is too long.
fn cell(text: &str, width: usize) -> String {
    let plain = |sign: char| if sign.is_control() { '\u{fffd}' } else { sign };
    let mut cell: String = text.chars().map(plain).take(width).collect();
    if text.chars().nth(width).is_some() {
        cell.pop();
        cell.push('…');
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [row(&["Zoë", "1", "x"]), row(&["A", "22222", ""])];
        let expected = "NAME  NO     \u{fffd}\nZoë   1      x\nA     22222\n";
        assert_eq!(table(&["NAME", "NO", "\u{1b}"], &rows), expected);
    }

    #[test]
    fn a_long_cell_is_cut_unless_it_is_the_last() {
        let long = "é".repeat(41);
        let cut = format!("{}…", "é".repeat(39));
        assert_eq!(
            table(&["A", "B"], &[row(&[&long, &long])]).lines().nth(1),
            Some(&*format!("{cut}  {long}"))
        );
    }
}
