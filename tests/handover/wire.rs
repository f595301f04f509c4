//! From queues onto the wire, and from the wire into the peer on the other side.

use super::*;

impl World {
    /// Moves what is queued onto the wire.
    pub(super) fn move_queues(&mut self, side: usize) {
        let random = Arc::clone(&self.random);
        let now = self.now;
        let lost = |world: &World| world.node_dead || random.chance(world.node_loss_percent);
        for index in 0..STUBS {
            let mut items = Vec::new();
            let many = random.in_range(1, 20) as usize;
            self.nodes[side].stubs[index].queue.try_drain(&mut items, many);
            for item in items {
                if lost(self) {
                    continue;
                }
                let (least, most) = self.node_delay_ms;
                let at = now + Duration::from_millis(random.in_range(least, most));
                let flight = &mut self.nodes[side].stubs[index].flight;
                let last = flight.back().map_or(at, |(last, _)| *last);
                flight.push_back((at.max(last), item));
            }
        }
        let node = &mut self.nodes[side];
        let Some(link) = &mut node.direct else { return };
        let mut items = Vec::new();
        link.queue.try_drain(&mut items, random.in_range(1, 30) as usize);
        if link.alive {
            let at = now + Duration::from_millis(random.in_range(0, 4));
            let at = link.flight.back().map_or(at, |(last, _)| at.max(*last));
            link.flight.extend(items.into_iter().map(|item| (at, item)));
        }
        node.peer.on_room(now);
    }

    /// Hands to the other side what has arrived from `side`.
    pub(super) fn arrivals(&mut self, side: usize) -> Result<(), String> {
        let due = |flight: &mut VecDeque<(Instant, Outgoing)>, now| {
            let arrived = flight.front().is_some_and(|(at, _)| *at <= now);
            if arrived { flight.pop_front().map(|(_, item)| item) } else { None }
        };
        for index in 0..STUBS {
            while let Some(item) = due(&mut self.nodes[side].stubs[index].flight, self.now) {
                self.arrive_by_node(1 - side, item, LinkId(index as u32 + 1))?;
            }
        }
        let mut run = Vec::new();
        loop {
            let now = self.now;
            let next = self.nodes[side].direct.as_mut().and_then(|link| due(&mut link.flight, now));
            match next {
                Some(Outgoing::Message { bytes, hop }) if self.together && hop.is_some() => {
                    run.extend(self.read_direct(1 - side, bytes, hop)?.map(Some));
                }
                next => {
                    self.receive_run(1 - side, &mut run)?;
                    let Some(item) = next else { return Ok(()) };
                    self.arrive_direct(1 - side, item)?;
                }
            }
        }
    }

    pub(super) fn arrive_by_node(
        &mut self,
        side: usize,
        item: Outgoing,
        link: LinkId,
    ) -> Result<(), String> {
        let Outgoing::Message { bytes, hop } = item else { return Err("bare control".into()) };
        let message = Message::parse(bytes).map_err(|error| format!("{error:?}"))?;
        let is_control = matches!(message.to(), To::One(to) if to.ends_with("/path"));
        if is_control {
            let body = message.body().ok_or("control without a body")?.to_owned();
            return self.control(side, &body, Path::MessageNode);
        }
        let ingress = Ingress { path: Path::MessageNode, link };
        self.receive(side, Delivery { message, ingress, hop })
    }

    pub(super) fn arrive_late(
        &mut self,
        side: usize,
        item: Outgoing,
        hop: Option<Hop>,
    ) -> Result<(), String> {
        match item {
            Outgoing::Control(text) => {
                let text = String::from_utf8(text.to_vec()).map_err(|error| error.to_string())?;
                if Announced::default().read(&text).map_err(|error| error.to_string())? {
                    return Ok(());
                }
                self.control(side, &text, Path::P2p)
            }
            Outgoing::Message { bytes, .. } => {
                let message = Message::parse(bytes).map_err(|error| format!("{error:?}"))?;
                let ingress = Ingress { path: Path::P2p, link: LinkId(9) };
                self.receive(side, Delivery { message, ingress, hop })
            }
        }
    }

    pub(super) fn arrive_direct(&mut self, side: usize, item: Outgoing) -> Result<(), String> {
        let Some(link) = &mut self.nodes[side].direct else { return Ok(()) };
        match item {
            Outgoing::Control(text) => {
                let text = String::from_utf8(text.to_vec()).map_err(|error| error.to_string())?;
                if link.announced.read(&text).map_err(|error| error.to_string())? {
                    return Ok(());
                }
                self.control(side, &text, Path::P2p)
            }
            Outgoing::Message { bytes, hop } => match self.read_direct(side, bytes, hop)? {
                Some(delivery) => self.receive(side, delivery),
                None => Ok(()),
            },
        }
    }

    /// A message that came by the direct link, if there is one.
    fn read_direct(
        &mut self,
        side: usize,
        bytes: Bytes,
        hop: Option<Hop>,
    ) -> Result<Option<Delivery>, String> {
        let Some(link) = &mut self.nodes[side].direct else { return Ok(None) };
        let number = hop.map_or(0, |hop| hop.number);
        let told = link.announced.hop(number);
        if told != hop {
            return Err(format!("link says {told:?} for {hop:?}"));
        }
        let message = Message::parse(bytes).map_err(|error| format!("{error:?}"))?;
        let ingress = Ingress { path: Path::P2p, link: LinkId(9) };
        Ok(Some(Delivery { message, ingress, hop: told }))
    }

    /// Numbered messages that came together.
    fn receive_run(&mut self, side: usize, run: &mut Vec<Option<Delivery>>) -> Result<(), String> {
        let (dice, full) = (Arc::clone(&self.random), self.full_percent);
        let Node { peer, heard, .. } = &mut self.nodes[side];
        let mut listener = |run: &mut [Option<Delivery>]| {
            let mut taken = RunTaken::default();
            for place in run {
                let delivery = place.clone().expect("a message in each place");
                if listen(heard, delivery, dice.chance(full)).is_err() {
                    break;
                }
                *place = None;
                taken.count += 1;
            }
            taken
        };
        peer.receive_run(run, &mut listener, self.now);
        run.clear();
        self.check_order(side)
    }

    pub(super) fn control(&mut self, side: usize, text: &str, path: Path) -> Result<(), String> {
        let event = self.nodes[side].peer.handle_control(text, path, self.now);
        match event.map_err(|error| format!("{error}: {text}"))? {
            None => Ok(()),
            Some(Event::Reborn) if self.scenario == Scenario::Ruin => Ok(()),
            Some(event) => Err(format!("{event:?} out of nowhere")),
        }
    }

    pub(super) fn receive(&mut self, side: usize, delivery: Delivery) -> Result<(), String> {
        let full = if delivery.hop.is_some() { self.full_percent } else { 0 };
        let dice = Arc::clone(&self.random);
        let Node { peer, heard, .. } = &mut self.nodes[side];
        let mut listener = |delivery: Delivery| listen(heard, delivery, dice.chance(full));
        let _ = peer.receive(delivery, &mut listener, self.now);
        self.check_order(side)
    }

    pub(super) fn time_out(&mut self, side: usize) -> Result<(), String> {
        let dice = Arc::clone(&self.random);
        let full = self.full_percent;
        let Node { peer, heard, .. } = &mut self.nodes[side];
        let mut listener = |delivery: Delivery| listen(heard, delivery, dice.chance(full));
        peer.handle_timeout(self.now, &mut listener);
        self.check_order(side)
    }
}

/// The listener: a queue that is sometimes full.
pub(super) fn listen(
    heard: &mut BTreeMap<Pair, Vec<u64>>,
    delivery: Delivery,
    full: bool,
) -> Result<(), Refusal> {
    if full {
        return Err(Refusal::Full { bound: 1 });
    }
    let (pair, number) = read_pair(&delivery.message);
    heard.entry(pair).or_default().push(number);
    Ok(())
}

pub(super) fn read_pair(message: &Message) -> (Pair, u64) {
    let index = |url: &str| url.rsplit('/').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let To::One(to) = message.to() else { panic!("one URL") };
    let member = |name| {
        let text = message.body_member(&[name]).expect("a body of the simulation");
        text.parse::<u64>().expect("a number")
    };
    ((index(&message.from()), index(&to), member("life") as u32), member("n"))
}
