import ScanWire

/// What a scanner is started with.
public struct ScannerPlan: Sendable {
  /// Path of the program that looks at messages.
  public var executable: String
  /// What is sent to it. `temporary` is the folder below which each of its processes gets a folder of its own, on tmpfs at best.
  public var settings: ScannerSettings
  /// Messages that are looked at at the same time; at least one.
  public var workers: Int
  /// A worker that has not answered after so many seconds is killed.
  public var answerSeconds: Int
  /// Contents whose verdict is remembered; 0 for none.
  public var cachedVerdicts: Int
  /// Seconds between two looks whether the database is another; 0 for never.
  public var databaseCheckSeconds: Int

  /// A plan of these parts.
  public init(
    executable: String, settings: ScannerSettings, workers: Int, answerSeconds: Int, cachedVerdicts: Int, databaseCheckSeconds: Int
  ) {
    self.executable = executable
    self.settings = settings
    self.workers = workers
    self.answerSeconds = answerSeconds
    self.cachedVerdicts = cachedVerdicts
    self.databaseCheckSeconds = databaseCheckSeconds
  }
}

/// Something about the scanner that people should know.
public struct ScannerNotice: Sendable, Equatable {
  /// How much it matters; `critical`: no message is looked at.
  public enum Level: Sendable, Equatable { case info, warning, error, critical }

  public var level: Level
  public var text: String

  /// A notice.
  public init(_ level: Level, _ text: String) {
    self.level = level
    self.text = text
  }
}

/// What a scanner did since its start.
public struct ScannerFigures: Sendable, Equatable {
  /// Verdicts of workers.
  public var scanned: UInt64 = 0
  /// Among them, those that named a threat.
  public var infected: UInt64 = 0
  /// Messages that were given to a second worker.
  public var retried: UInt64 = 0
  /// Messages that no worker came to an end with.
  public var faults: UInt64 = 0
  /// Answers from the memory of earlier ones, faults among them.
  public var cacheHits: UInt64 = 0
  /// Loads of a database that were taken.
  public var generations: UInt64 = 0

  public init() {}
}

/// How a scanner is doing.
public struct ScannerStatus: Sendable, Equatable {
  /// True when messages are looked at.
  public var isUp: Bool
  /// Why not; empty when they are.
  public var reason: String
  /// Engine and database that messages are looked at with.
  public var version: ScanVersion?
  /// Process number of the scanner that is in use.
  public var parent: Int32?
  /// Process numbers of its workers; one that is being replaced is missing.
  public var workers: [Int32]
  /// Messages that wait for a worker.
  public var waiting: Int
  public var figures: ScannerFigures
}

/// How long the keeper waits for a scanner process, in milliseconds.
struct Patience: Sendable {
  /// For a database to be loaded: the official one takes half a minute, on a slow disk minutes.
  var loading = 900_000
  /// For a worker to be forked, or to be dead after it was killed: a parent that takes longer does not work any more.
  var order = 30_000
  /// For a process to end by itself when it is told to.
  var ending = 5000
  /// For a killed process to be gone before its failure is told without its last words.
  var lastWords = 2000
  /// Before the first new attempt after a failure, and the longest pause of later ones; each is twice the one before.
  var firstPause = 1000
  var longestPause = 60_000
}
