import Channels
import Octets
import ScanWire
import Synchronization

// What the processes report, and what slots need of them.
extension Keeper {
  /// Reports that are read from one process before the others have their turn.
  private static let reportsInTurn = 64

  /// Reads what a process reports.
  func hear(_ generation: Generation) {
    for _ in 0..<Keeper.reportsInTurn where generation.stage != .ending {
      do {
        guard let report = try generation.control.receive(waitingMilliseconds: 0, takingDescriptor: false) else { return }
        try take(try ParentReport(decoding: report.packet), generation)
      } catch ChannelError.closed {
        lose(
          generation, generation.stage == .loading ? "its process ended before the database was loaded" : "its process ended", .left)
      } catch {
        lose(generation, "its process does not do what it should: \(error)")
      }
    }
  }

  private func take(_ report: ParentReport, _ generation: Generation) throws {
    switch (report, generation.stage) {
    case (.loaded(let version, let warnings), .loading):
      for warning in warnings { tell(.warning, "signature database: \(warning)") }
      generation.lineage = Lineage(number: generation.number, version: version, options: plan.settings.options)
      generation.stage = .forking
      for slot in 0..<slots { try generation.fork(slot: slot, until: now + patience.order) }
    case (.loaded, _): throw ScanFailure("it loaded twice")
    case (.failed(let why), _): lose(generation, why, .said)
    case (.forked(let number, let pid), _): try forked(number, pid, generation)
    case (.died(let pid, let how), _): try died(pid, how, generation)
    }
  }

  private func forked(_ number: UInt32, _ pid: Int32, _ generation: Generation) throws {
    // An order of a generation that was replaced since is forgotten, and its channel closed: the worker ends.
    guard let order = generation.orders.removeValue(forKey: number) else {
      if generation.stage == .retiring { return }
      throw ScanFailure("it forked a worker that was not ordered")
    }
    guard let lineage = generation.lineage, generation.workers[pid] == nil else { throw ScanFailure("it forked the same worker twice") }
    let seat = Seat(lineage: lineage, pid: pid, channel: order.channel)
    generation.workers[pid] = seat
    switch generation.stage {
    case .forking: try beginTrial(seat, slot: order.slot, generation)
    case .current: install(seat, slot: order.slot)
    case .loading, .retiring, .ending: seat.shutDown()
    }
  }

  /// A message that nothing can be found in.
  private static let harmless = Chunk("Subject: Trial\r\n\r\nNothing is to be found here.\r\n")

  private func beginTrial(_ seat: Seat, slot: Int, _ generation: Generation) throws {
    let pieces = [SlotThread.prefix, Keeper.harmless]
    let memory = try SharedMemory.make(name: "ceralacca-trial", pieces: pieces)
    do throws(ChannelError) {
      let id = try seat.beginTrial(memory, bytes: pieces.reduce(0) { $0 + $1.count }, prefixBytes: SlotThread.prefix.count)
      generation.trials[slot] = Generation.Trial(seat: seat, id: id, until: now + patience.order)
    } catch {
      guard error == .closed else { throw error }
      awaitEnd(of: seat, slot: slot, generation)
    }
  }

  /// A worker is dead; when the process has said so, the slot gets another one.
  private func awaitEnd(of seat: Seat, slot: Int, _ generation: Generation) {
    generation.killed[seat.pid] = Generation.Killed(slot: slot, until: now + patience.order)
  }

  /// Hears what the first workers of a new generation found in a harmless message. When all have found nothing they take over.
  func judgeTrials(_ generation: Generation) {
    for (slot, trial) in generation.trials {
      do {
        guard let finding = try trial.seat.trialFinding(trial.id) else { continue }
        generation.trials[slot] = nil
        guard finding == .clean else { return lose(generation, "in a harmless message it finds \(finding.name ?? "something")", .killed) }
        generation.ready[slot] = trial.seat
      } catch ChannelError.closed {
        generation.trials[slot] = nil
        awaitEnd(of: trial.seat, slot: slot, generation)
      } catch {
        return lose(generation, "a harmless message is too much for it: \(error)")
      }
    }
    guard generation.stage == .forking, generation.ready.count == slots, let lineage = generation.lineage else { return }
    publish(generation, lineage)
  }

  private func died(_ pid: Int32, _ how: String, _ generation: Generation) throws {
    guard let seat = generation.workers.removeValue(forKey: pid) else { return }
    seat.isDead.store(true, ordering: .relaxed)
    if isHopeless(generation, seat) {
      return lose(generation, "its workers end before they are given a message, the last one: \(how)")
    }
    if let killed = generation.killed.removeValue(forKey: pid) {
      return try provide(killed.slot, generation, obituary: how)
    }
    switch generation.stage {
    case .forking:
      let inTrial = generation.trials.first { $0.value.seat === seat }?.key
      guard let slot = inTrial ?? generation.ready.first(where: { $0.value === seat })?.key else { return }
      generation.trials[slot] = nil
      generation.ready[slot] = nil
      try provide(slot, generation, obituary: nil)
    case .current:
      if let slot = takeBack(seat) { try provide(slot, generation, obituary: nil) } else { generation.obituaries[pid] = how }
    case .retiring:
      _ = takeBack(seat)
      endIfIdle(generation)
    case .loading, .ending: return
    }
  }

  /// Takes a worker that died from its slot, unless the slot is with it: then the slot will say so itself. The slot.
  private func takeBack(_ seat: Seat) -> Int? {
    desk.board.state.alter { state in
      for number in state.slots.indices {
        if state.slots[number].next === seat {
          state.slots[number].next = nil
          return number
        }
        if state.slots[number].seat === seat, !state.slots[number].isBusy {
          state.slots[number].seat = nil
          return number
        }
      }
      return nil
    }
  }

  /// Orders another worker for a slot, when this generation is the one that is to have it.
  private func provide(_ slot: Int, _ generation: Generation, obituary: String?) throws {
    switch generation.stage {
    case .forking, .current:
      if generation.stage == .current { desk.board.state.alter { $0.slots[slot].obituary = obituary } }
      try generation.fork(slot: slot, until: now + patience.order)
    case .retiring: endIfIdle(generation)
    case .loading, .ending: return
    }
  }

  /// True when so many workers died unused that the next one will too.
  private func isHopeless(_ generation: Generation, _ seat: Seat) -> Bool {
    let verdicts = seat.lineage.verdicts.load(ordering: .relaxed)
    if verdicts != generation.verdictsAtStillborn {
      generation.verdictsAtStillborn = verdicts
      generation.stillborn = 0
    }
    if seat.isUsed.load(ordering: .relaxed) { return false }
    generation.stillborn += 1
    return generation.stillborn > 2 * slots + 4
  }

  /// A slot's worker does not do: it is killed, and when it is dead the slot gets another one. So there are never more than one for each
  /// slot, and how the old one ended is known by then.
  func replace(_ seat: Seat, slot: Int) {
    seat.shutDown()
    // Of a generation that is lost or ending there is nothing to be had; the slot learns that from the board.
    guard let generation = generation(of: seat) else { return }
    do {
      if generation.workers[seat.pid] === seat {
        awaitEnd(of: seat, slot: slot, generation)
        try generation.send(.kill(pid: seat.pid))
        endIfIdle(generation)
      } else {
        try provide(slot, generation, obituary: generation.obituaries.removeValue(forKey: seat.pid))
      }
    } catch {
      lose(generation, "its process does not take orders: \(error)", error as? ChannelError == .closed ? .left : .killed)
    }
  }
}
