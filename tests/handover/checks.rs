//! What must hold at every step, and at rest.

use super::*;

impl World {
    pub(super) fn outcomes(&mut self, side: usize) -> Result<(), String> {
        let mut outcomes = Vec::new();
        self.nodes[side].peer.drain_outcomes(&mut outcomes);
        for outcome in outcomes {
            let returned = matches!(outcome, Outcome::Returned { .. });
            let (Outcome::Returned { delivery, .. } | Outcome::InDoubt { delivery }) = outcome;
            let (pair, number) = read_pair(&delivery.message);
            let heard = self.nodes[1 - side].heard.get(&pair);
            if returned && heard.is_some_and(|heard| heard.contains(&number)) {
                return Err(format!("{pair:?} {number} returned and yet delivered"));
            }
            if self.scenario == Scenario::Cuts {
                return Err(format!("{pair:?} {number} given up though a path was there"));
            }
            let node = &mut self.nodes[side];
            node.before.returned += u64::from(returned);
            node.before.in_doubt += u64::from(!returned);
            let ended = node.ended.entry(pair).or_default();
            if ended.contains(&number) {
                return Err(format!("{pair:?} {number} ended twice"));
            }
            ended.push(number);
        }
        Ok(())
    }

    /// Each (from, to) in order and once: in `Cuts` without a hole, in `Ruin` what was numbered.
    pub(super) fn check_order(&self, side: usize) -> Result<(), String> {
        for (pair, heard) in &self.nodes[side].heard {
            let Some((now, before)) = heard.split_last() else { continue };
            let expected = match self.scenario {
                Scenario::Cuts => *now == before.len() as u64,
                Scenario::Ruin if !self.is_numbered(side, pair, *now) => true,
                Scenario::Ruin => {
                    let mut numbered = before.iter().rev();
                    let last = numbered.find(|number| self.is_numbered(side, pair, **number));
                    last.is_none_or(|last| last < now)
                }
            };
            if !expected {
                return Err(format!("{pair:?}: {now} delivered after {:?}", before.last()));
            }
        }
        Ok(())
    }

    pub(super) fn is_numbered(&self, heard_by: usize, pair: &Pair, number: u64) -> bool {
        self.nodes[1 - heard_by].accepted[pair][number as usize].1
    }

    pub(super) fn check_rest(&self) -> Result<Report, String> {
        let mut report = Report::default();
        for (side, node) in self.nodes.iter().enumerate() {
            self.check_all_ended(side)?;
            let counters = node.peer.counters();
            if counters.accepted != counters.delivered + counters.returned + counters.in_doubt {
                return Err(format!("outcomes do not add up: {counters:?}"));
            }
            if node.peer.unacknowledged() != (0, 0) || node.peer.held_back() != (0, 0) {
                return Err("something is left over".to_owned());
            }
            report.add(&node.before);
            report.messages += node.by[0] + node.by[1];
            report.by_node += node.by[0];
            report.by_p2p += node.by[1];
            report.refused += node.refused;
            report.resent += counters.resent;
            report.duplicates_dropped += counters.duplicate;
        }
        Ok(report)
    }

    /// Every accepted message was heard; in `Ruin`, or ended otherwise, if numbered and its sender lives.
    pub(super) fn check_all_ended(&self, side: usize) -> Result<(), String> {
        let node = &self.nodes[side];
        if self.scenario == Scenario::Ruin && !node.well_again {
            return Err(format!("{side} found no stream though all is well"));
        }
        for (pair, accepted) in &node.accepted {
            let none = Vec::new();
            let heard = self.nodes[1 - side].heard.get(pair).unwrap_or(&none);
            let ended = node.ended.get(pair).unwrap_or(&none);
            let lives = pair.2 == node.life;
            for (number, numbered) in accepted {
                let times = heard.iter().filter(|heard| *heard == number).count();
                let known = times == 1 || ended.contains(number);
                let well = node.well.get(&(pair.0, pair.1)).copied().unwrap_or_default();
                let all = self.scenario == Scenario::Cuts || (lives && *number >= well);
                if times > 1 || (all && times != 1) || (*numbered && lives && !known) {
                    return Err(format!("{pair:?} {number} heard {times} times"));
                }
            }
        }
        Ok(())
    }
}
