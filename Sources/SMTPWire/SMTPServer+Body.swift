import Octets

extension SMTPServer {
  /// Octets after DATA. nil to go on.
  mutating func readData(_ input: Span<UInt8>, _ at: inout Int) -> ServerEvent? {
    guard at < input.count else { return .needInput }
    let piece = decoder.scan(input, from: at, to: input.count)
    at = piece.next
    switch piece.outcome {
    case .more: return piece.range.isEmpty ? nil : .body(piece.range)
    case .end:
      phase = .awaiting(.verdict)
      return .bodyEnds
    case .fault(let fault):
      let refusal = Refusal(reply: fault.reply, isFault: true)
      phase = .swallowingData(Swallower(matched: decoder.matchedTerminator), refusal)
      return .bodyFault(fault)
    }
  }

  /// Octets of a BDAT, and its end. nil to go on.
  mutating func readChunk(_ input: Span<UInt8>, _ at: inout Int, _ chunk: Command.Chunk, _ remaining: Int) -> ServerEvent? {
    guard remaining > 0 else { return endChunk(chunk) }
    guard at < input.count else { return .needInput }
    let piece = decoder.scan(input, from: at, to: at + min(remaining, input.count - at))
    let rest = remaining - (piece.next - at)
    at = piece.next
    switch piece.outcome {
    case .more, .end:  // a BDAT has no end of its own
      phase = .chunk(chunk, remaining: rest)
      return piece.range.isEmpty ? nil : .body(piece.range)
    case .fault(let fault):
      let refusal = Refusal(reply: fault.reply, isFault: true)
      phase = .swallowingChunk(remaining: rest, refusal, next: chunk.isLast ? .greeted : .broken)
      return .bodyFault(fault)
    }
  }

  private mutating func endChunk(_ chunk: Command.Chunk) -> ServerEvent? {
    guard chunk.isLast else {
      phase = .command
      say(Reply(250, "2.0.0", "\(chunk.size) octets received"))
      return nil
    }
    guard decoder.position != .afterCR else {
      phase = .command
      stage = .greeted
      fault(BodyFault.bareCarriageReturn.reply)
      return .bodyFault(.bareCarriageReturn)
    }
    phase = .awaiting(.verdict)
    return .bodyEnds
  }

  /// The rest of a refused DATA. nil to go on.
  mutating func swallowData(_ input: Span<UInt8>, _ at: inout Int, _ swallower: Swallower, _ refusal: Refusal) -> ServerEvent? {
    var swallower = swallower
    guard swallower.swallow(input, at: &at) else {
      phase = .swallowingData(swallower, refusal)
      return .needInput
    }
    close(refusal, next: .greeted)
    return nil
  }

  /// The rest of a refused BDAT. nil to go on.
  mutating func swallowChunk(
    _ input: Span<UInt8>, _ at: inout Int, _ remaining: Int, _ refusal: Refusal, _ next: Stage
  ) -> ServerEvent? {
    let taken = min(remaining, input.count - at)
    at += taken
    guard taken == remaining else {
      phase = .swallowingChunk(remaining: remaining - taken, refusal, next: next)
      return .needInput
    }
    close(refusal, next: next)
    return nil
  }

  /// Replies to a body that was refused and is through.
  private mutating func close(_ refusal: Refusal, next: Stage) {
    phase = .command
    stage = next
    if refusal.isFault { fault(refusal.reply) } else { say(refusal.reply) }
  }
}
