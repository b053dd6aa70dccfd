import Configuration
import Journey
import Limits
import Logging
import MailboxSearch
import Octets
import Spool
import Threading

/// What a mailbox was found to have.
struct MailboxFinding: Sendable {
  enum Word: Sendable, Equatable {
    /// The message is in this folder.
    case found(String)
    /// It is nowhere in the mailbox.
    case absent
    /// The question has no answer; why.
    case unknown(String)
  }

  var recipient: String
  var word: Word

  init(_ recipient: String, _ word: Word) { (self.recipient, self.word) = (recipient, word) }
}

/// Asks mailboxes on threads of its own: an answer takes as long as the server needs.
final class MailboxSearchDesk: Sendable {
  private struct Job: Sendable {
    var entry: QueueEntry
    var recipients: [String]
    var address: ReturnAddress
  }

  private let queue = Handoff<Job>()
  private let search: MailboxSearch
  private let threads: [WorkerThread]

  /// - Throws: when the password cannot be read.
  init(_ settings: MailboxSearchSettings, _ limits: Limits, spool: Spool) throws {
    let bounds = limits.search
    let search = MailboxSearch(
      MailboxServer(
        url: settings.url, startTLS: settings.startTLS, caFile: settings.caFile, user: settings.user, password: try settings.password(),
        timeoutSeconds: bounds.timeoutSeconds, maximumFolders: bounds.folders, maximumBytes: bounds.answerBytes))
    self.search = search
    threads = (0..<bounds.atOnce).map { [queue] number in
      WorkerThread(name: "search-\(number)") {
        while let jobs = queue.take(atMost: 1) {
          for job in jobs { job.address.send(.searched(MailboxSearchDesk.perform(job, search, limits, spool))) }
        }
      }
    }
  }

  /// Looks for the message of an entry in the mailboxes of these recipients of its; the answer is `.searched` or `.failed`.
  func look(for entry: QueueEntry, of recipients: [String], _ address: ReturnAddress) {
    if !queue.send(Job(entry: entry, recipients: recipients, address: address)) { address.send(.failed("the gateway is stopping")) }
  }

  /// Ends the threads; what is asked at the moment is not waited for.
  func finish() {
    search.end()
    queue.close()
    for thread in threads { thread.join() }
  }

  private static func perform(_ job: Job, _ search: MailboxSearch, _ limits: Limits, _ spool: Spool) -> [MailboxFinding] {
    let entry = job.entry
    let all = { (reason: String) in job.recipients.map { MailboxFinding($0, .unknown(reason)) } }
    let head: [UInt8]
    do {
      head = try BodyContent.stored(entry.content).octets(in: 0..<min(entry.bytes, limits.search.headBytes), spool: spool)
    } catch { return all("the stored message cannot be read: \(error)") }
    let marks = HandOverMarks.of(head, entry, limits: limits.message).map { MailboxQuestion.Mark(field: $0.field, text: $0.text) }
    return job.recipients.map { recipient in
      do {
        switch try search.answer(to: MailboxQuestion(holder: recipient, marks: marks, since: entry.createdAt)) {
        case .found(let folder): return MailboxFinding(recipient, .found(folder))
        case .absent: return MailboxFinding(recipient, .absent)
        }
      } catch { return MailboxFinding(recipient, .unknown("\(error)")) }
    }
  }
}
