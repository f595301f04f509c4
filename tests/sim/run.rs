//! One seed: which faults there are and when, and what is judged at the end.

use std::time::{Duration, Instant};

use hyperty_router::handover::Mutation;

use super::{act::Action, report::Report, world::World};

/// How often it is looked for stalls.
const LOOK: Duration = Duration::from_millis(1_000);
/// When nothing of a stream or a request is left: the last one that forgets is a receiver.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(700);
/// Looks after which a state counts as lasting: longer than the deadline of what was sent before it.
const SETTLED_AFTER: u32 = 11;
/// By then everything must be as it should be, after the last fault: a retry at its ceiling, a set-up, a
/// request that is asked again, and what counts as lasting.
const RECOVERED_WITHIN: Duration = Duration::from_secs(90);

/// Runs `seed`: what it did and the hash of its trace, or what was violated.
pub(crate) fn run(seed: u64, mutation: Mutation, loud: bool) -> Result<(Report, u64), String> {
    let mut world = World::new(seed, mutation, loud);
    world.plan_all();
    while world.has_plans() {
        world.look_after(LOOK)?;
    }
    world.recover()?;
    world.epilogue()?;
    world.come_to_rest()?;
    world.shut_down()?;
    world.check_left_over()?;
    Ok((world.report(), world.trace.hash()))
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl World {
    fn look_after(&mut self, wait: Duration) -> Result<(), String> {
        self.run_until(self.now + wait)?;
        self.check_stalls()
    }

    /// Until all runtimes are connected again, and what was said before that is over.
    fn recover(&mut self) -> Result<(), String> {
        let end = self.now + RECOVERED_WITHIN;
        let mut well = 0;
        for round in 0_u64.. {
            well = if self.all_is_well() { well + 1 } else { 0 };
            if well > SETTLED_AFTER {
                return Ok(());
            }
            if self.now > end {
                return Err(format!("no recovery: {}", self.describe()));
            }
            // A new process learns by a message that it wants a connection.
            if round.is_multiple_of(5) && well == 0 {
                self.pairs().for_each(|(from, to)| self.post(from, to));
            }
            self.look_after(LOOK)?;
        }
        Ok(())
    }

    /// All is well: what is sent now must arrive, directly.
    fn epilogue(&mut self) -> Result<(), String> {
        self.epilogue = true;
        for _ in 0..3 {
            self.pairs().for_each(|(from, to)| self.post(from, to));
        }
        self.look_after(ms(2_000))
    }

    /// A runtime may just be asking something of its own, by a slow Message Node, and what is asked be lost
    /// and asked for again; that ends soon.
    fn come_to_rest(&mut self) -> Result<(), String> {
        let end = self.now + ms(15_000);
        loop {
            match self.check_rest() {
                Err(_) if self.now < end => self.look_after(ms(500))?,
                outcome => return outcome,
            }
        }
    }

    /// Everybody shuts down and leaves; then time goes by until a receiver has forgotten the last stream.
    fn shut_down(&mut self) -> Result<(), String> {
        for party in &mut self.parties {
            party.ua.shut_down(self.now);
        }
        self.run_until(self.now + ms(5_000))?;
        for party in 0..self.parties.len() {
            self.close_sessions(party);
        }
        self.run_until(self.now + FORGOTTEN_AFTER)
    }

    fn plan_all(&mut self) {
        let dice = self.dice.clone();
        let span = dice.pick(&[1_500, 4_000, 12_000]);
        self.plan_traffic(span);
        for _ in 0..dice.between(0, 4) {
            match dice.between(0, 8) {
                0 | 1 => self.plan_cuts(span),
                2 => self.plan_flapping(span),
                3 => self.plan_legs(span),
                4 => self.plan_node(span),
                5 => self.plan_death(span),
                6 => self.plan_full(span),
                _ => self.plan_bad_dials(span),
            }
        }
        self.plan_freezes(span);
        let last = self.planned_until().unwrap_or(self.now);
        self.plan(last, Action::Calm);
    }

    /// Some moment of the run.
    fn moment(&self, span: u64) -> Instant {
        self.start + ms(self.dice.between(0, span))
    }

    /// Bursts in both directions of each pair; at once from both sides, or after each other.
    fn plan_traffic(&mut self, span: u64) {
        let dice = self.dice.clone();
        let quiet = dice.pick(&[0, 0, 300]);
        let pairs: Vec<_> = self.pairs().collect();
        let bursts = 90 / pairs.len() as u64;
        for (from, to) in pairs {
            self.plan(self.start + ms(quiet), Action::Burst { from, to, count: 1 });
            for _ in 0..bursts {
                let count = dice.pick(&[1, 1, 2, 4]);
                let at = self.moment(span) + ms(quiet);
                self.plan(at, Action::Burst { from, to, count });
            }
        }
    }

    fn plan_cuts(&mut self, span: u64) {
        let dice = self.dice.clone();
        let notice = ms(dice.pick(&[1, 100, 1_500]));
        for _ in 0..dice.between(1, 5) {
            let half = dice.chance(30);
            self.plan(self.moment(span), Action::Cut { half, notice });
        }
    }

    fn plan_flapping(&mut self, span: u64) {
        let dice = self.dice.clone();
        let mut at = self.moment(span);
        for _ in 0..dice.between(5, 15) {
            at += ms(dice.between(10, 700));
            let half = dice.chance(30);
            self.plan(at, Action::Cut { half, notice: ms(50) });
        }
    }

    fn plan_legs(&mut self, span: u64) {
        let dice = self.dice.clone();
        for _ in 0..dice.between(1, 4) {
            let party = dice.between(0, self.parties.len() as u64) as usize;
            let [client, server] = [0; 2].map(|_| ms(dice.pick(&[0, 50, 3_000, 6_000])));
            let out = ms(dice.pick(&[0, 200, 3_000, 14_000]));
            let leg = dice.between(0, 2) as usize;
            self.plan(self.moment(span), Action::Leg { party, leg, client, server, out });
        }
    }

    fn plan_node(&mut self, span: u64) {
        let dice = self.dice.clone();
        for _ in 0..dice.between(1, 3) {
            let node = dice.between(0, 2) as usize;
            let down = ms(dice.pick(&[0, 300, 4_000, 20_000]));
            let forget = dice.chance(60);
            self.plan(self.moment(span), Action::NodeStops { node, down, forget });
        }
    }

    fn plan_death(&mut self, span: u64) {
        let dice = self.dice.clone();
        for _ in 0..dice.between(1, 3) {
            let party = dice.between(0, self.parties.len() as u64) as usize;
            let dead = ms(dice.pick(&[1, 300, 3_000, 20_000]));
            self.plan(self.moment(span), Action::Kill { party, dead });
        }
    }

    /// Drawn apart from everything else.
    fn plan_freezes(&mut self, span: u64) {
        let dice = self.dice.apart();
        if !dice.chance(15) {
            return;
        }
        for _ in 0..dice.between(1, 4) {
            let party = dice.between(0, self.parties.len() as u64) as usize;
            let frozen = ms(dice.pick(&[50, 700, 1_500, 5_000, 13_000, 40_000]));
            let at = self.start + ms(dice.between(0, span));
            self.plan(at, Action::Freeze { party, span: frozen });
        }
    }

    fn plan_full(&mut self, span: u64) {
        let dice = self.dice.clone();
        let party = dice.between(0, self.parties.len() as u64) as usize;
        let at = self.moment(span);
        let percent = dice.pick(&[10, 60, 100]);
        self.plan(at, Action::Full { party, percent });
        self.plan(at + ms(dice.pick(&[300, 2_000, 13_000])), Action::Full { party, percent: 0 });
    }

    fn plan_bad_dials(&mut self, span: u64) {
        let at = self.moment(span);
        self.plan(at, Action::DialsFail { percent: self.dice.pick(&[30, 100]) });
        self.plan(at + ms(self.dice.between(100, 3_000)), Action::DialsFail { percent: 0 });
    }
}
