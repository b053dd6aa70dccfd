import Journey
import MIMEStream
import Octets
import PEC

/// A message that the gateway itself sends, by certified mail: answers to requests for extracts.
struct OwnMessage: Sendable {
  var sender: String
  var recipient: String
  var octets: [UInt8]
  /// Moved on in the same commit in which the message is accepted.
  var request: LogRequestRecord
}

extension Lane {
  /// Sends a message of our own by certified mail: formal checks, scanner, signatures and commit are those of anybody's message.
  func submit(_ message: OwnMessage, _ then: @escaping @Sendable (Verdict) -> Void) {
    var walker = MessageWalker(limits: shared.limits.message, watchedBoundaryPrefix: Composer.boundaryPrefix, checksLines: false)
    walker.feed(message.octets.span)
    SubmissionRun(lane: self, content: BodyContent(pieces: [.memory(Chunk(message.octets))]), answer: { verdict, _ in then(verdict) })
      .start(
        Arrival(
          submission: Submission(reversePath: message.sender, forwardPaths: [message.recipient], facts: walker.finish()),
          instant: shared.now(), sequence: shared.counters.nextSequence(), random: .drawn(), directory: shared.index.snapshot,
          request: message.request, choices: shared.choices.snapshot))
  }
}
