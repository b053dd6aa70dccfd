import Foundation
import Gateway
import Journey
import Ledger
import Octets

/// `ceralacca requests`: holders' requests for extracts of the log (`pec-rules` 9.5), from their arrival to their answer.
public enum RequestCommands {
  /// A request, for machines.
  private struct Row: Encodable {
    struct Step: Encodable {
      var state: String
      var at: String
      var outcome: String
    }
    var request: String
    var state: String
    var asker: String
    var openedAt: String
    var changedAt: String
    var message: String
    var question: String
    var outcome: String
    var answer: String?
    var history: [Step]

    init(_ request: LogRequestRecord, _ history: [LogRequestStep]) {
      self.request = request.id
      state = request.state.rawValue
      asker = request.asker
      openedAt = request.openedAt.rfc3339
      changedAt = QueueCommands.time(request.changedAt)
      message = request.pecID
      question = request.question
      outcome = request.outcome
      answer = request.answerID
      self.history = history.map { Step(state: $0.state.rawValue, at: QueueCommands.time($0.at), outcome: $0.outcome) }
    }
  }

  /// Lists requests, the open ones or all.
  public static func list(all: Bool, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    try reading {
      let ledger = try QueueCommands.ledger(configurationFile)
      let requests = try ledger.requests(states: all ? nil : [.open, .waiting])
      for request in requests {
        if json {
          say(try Output.json(Row(request, try ledger.requestHistory(id: request.id))))
        } else {
          say(ASCII.escaped("\(request.openedAt.rfc3339)  \(request.state.rawValue)  \(request.asker)  \(request.id)  \(request.outcome)"))
        }
      }
      if requests.isEmpty, !json { say(all ? "Nobody has asked for an extract." : "No request is open; --all lists the others.") }
    }
  }

  /// Shows one request with all its changes of state.
  public static func show(_ id: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    try reading {
      let ledger = try QueueCommands.ledger(configurationFile)
      guard let request = try ledger.request(id: id) else {
        throw CommandFailure("there is no request \(ASCII.escaped(id))", exitCode: CommandFailure.noInput)
      }
      let row = Row(request, try ledger.requestHistory(id: id))
      if json { return say(try Output.json(row)) }
      say("request   \(row.request)")
      say("state     \(row.state)")
      say("asked by  \(ASCII.escaped(row.asker)), \(row.openedAt), in message \(row.message)")
      for line in row.question.split(separator: "\n") { say("  \(ASCII.escaped(String(line)))") }
      for step in row.history { say("\(step.at)  \(step.state)  \(ASCII.escaped(step.outcome))") }
      if let answer = row.answer { say("answer    \(answer)") }
    }
  }

  /// Answers a request that waits for the operator: with the extract, or with a refusal.
  /// - Parameter refusal: why it is refused, in Italian, for the asker; nil sends the extract.
  public static func answer(_ id: String, refusal: String?, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let request = ControlRequest(verb: refusal == nil ? "request-answer" : "request-refuse", entry: id, text: refusal)
    try SealCommands.ask(request, configurationFile, json, say)
  }

  private static func reading(_ body: () throws -> Void) throws {
    do { try body() } catch let error as LedgerError {
      throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput)
    }
  }
}
