import Gateway
import Threading

/// `ceralacca reload`, `drain` and `restart`: an operator's word to a running gateway about its own life.
public enum LifeCommands {
  /// Nothing ever comes in here: it is waited for.
  static let pause = Handoff<Void>()

  /// Has everything read again. Ends with exit code 75 when something does not hold.
  public static func reload(configurationFile: String, say: (String) -> Void) throws {
    // What is wrong with a configuration that this command cannot read, the gateway could not read either.
    let configuration = try Service.load(configurationFile)
    try ControlClient.tell(ControlRequest(verb: "reload"), of: configuration.dataDirectory, refusal: CommandFailure.tryAgain, say)
  }

  /// Has nothing new taken, and waits until there are no sessions, for `seconds` and a little at the most.
  public static func drain(seconds: Int, configurationFile: String, say: (String) -> Void) throws {
    let directory = try Service.load(configurationFile).dataDirectory
    let request = ControlRequest(verb: "drain", entry: "\(seconds)")
    try ControlClient.tell(request, of: directory, withinSeconds: 30, refusal: CommandFailure.unavailable, say)
    let until = ContinuousClock.now + .seconds(seconds + 10)
    while ContinuousClock.now < until {
      let status = try ControlClient.ask(ControlRequest(verb: "status"), of: directory)
      if status.numbers?["openConnections"] == 0 {
        return say("no sessions any more; what is in the queue is delivered on, until the gateway is stopped")
      }
      pause.wait(forSeconds: 1)
    }
    throw CommandFailure("there are still sessions; they end with the gateway", exitCode: CommandFailure.tryAgain)
  }

  /// Has another process take over, and waits until it answers.
  public static func restart(configurationFile: String, say: (String) -> Void) throws {
    let directory = try Service.load(configurationFile).dataDirectory
    let before = try ControlClient.ask(ControlRequest(verb: "status"), of: directory).numbers?["pid"]
    try ControlClient.tell(ControlRequest(verb: "restart"), of: directory, refusal: CommandFailure.tryAgain, say)
    let until = ContinuousClock.now + .seconds(90)
    while ContinuousClock.now < until {
      // Nobody answers between the end of the one and the beginning of the other.
      let now = (try? ControlClient.ask(ControlRequest(verb: "status"), of: directory, withinSeconds: 5))?.numbers?["pid"]
      if let now, now != before { return say("process \(now) runs") }
      pause.wait(forSeconds: 1)
    }
    throw CommandFailure("the new process does not answer; look into the log", exitCode: CommandFailure.unavailable)
  }
}
