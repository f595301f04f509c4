//! The table of ratios, as text and as a file.

use std::{fs, path::PathBuf};

use crate::party::Outcome;

/// One line: ours against a rival, or against a goal. A ratio above 1 means that we are ahead.
pub struct Row {
    pub case: String,
    pub ours: f64,
    pub rival: f64,
    pub rival_name: String,
    pub ratio: f64,
    pub unit: String,
}

impl Row {
    /// Against a bound that is not to be exceeded.
    pub fn goal(case: &str, ours: f64, bound: f64, unit: &str) -> Row {
        Row {
            case: case.to_owned(),
            ours,
            rival: bound,
            rival_name: "goal".to_owned(),
            ratio: bound / ours,
            unit: unit.to_owned(),
        }
    }
}

/// The middle one, or the mean of the middle two.
pub fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    match of.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => of[len / 2],
        len => f64::midpoint(of[len / 2 - 1], of[len / 2]),
    }
}

/// Prints the rows and writes them to `target/ratios/rivals.csv` of the crate.
pub fn write(rows: &[Row]) -> Outcome<()> {
    if rows.is_empty() {
        return Ok(());
    }
    println!("\n{:24} {:>10} {:>10} {:12} {:>6}  unit", "case", "ours", "rival", "", "ratio");
    let mut text = String::from("case,ours,rival,rival_name,ratio,unit\n");
    for Row { case, ours, rival, rival_name, ratio, unit } in rows {
        println!("{case:24} {ours:>10.3} {rival:>10.3} {rival_name:12} {ratio:>6.2}  {unit}");
        text += &format!("{case},{ours:.4},{rival:.4},{rival_name},{ratio:.3},{unit}\n");
    }
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/ratios");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("rivals.csv"), text)?;
    println!("\nwritten to target/ratios/rivals.csv");
    Ok(())
}
