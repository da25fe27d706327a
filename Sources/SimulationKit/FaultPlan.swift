package import EventModel
package import StorageIO
package import SystemPackage

/// What shall go wrong on a ``SimulatedDisk``, and when.
package struct FaultPlan: Sendable {
  /// Which call fails.
  package enum Trigger: Sendable {
    /// The mutating call with this running number, from 1.
    case operation(Int)
    /// The nth call, from 1, of one kind on paths that end in a text; every one for the empty text.
    case call(IOFailure.Operation, pathSuffix: String = "", nth: Int = 1)
  }

  package struct Failure: Sendable {
    package var trigger: Trigger
    package var reason: Errno
    /// Of a failing write: how many bytes are written before the error.
    package var bytesWritten: Int
    /// Whether later calls of the same kind and path fail as well, as on a disk that stays broken.
    package var isLasting: Bool

    package init(
      _ trigger: Trigger, _ reason: Errno, bytesWritten: Int = 0, isLasting: Bool = false
    ) {
      self.trigger = trigger
      self.reason = reason
      self.bytesWritten = bytesWritten
      self.isLasting = isLasting
    }
  }

  package var failures: [Failure]
  /// The mutating call, counted from 1, in the middle of which the machine dies: it may have
  /// happened in part, and every call from it on fails.
  package var crashOperation: Int?
  /// The room for the bytes of all files with a name, reserved space included.
  package var capacity: ByteCount?

  /// Bytes that the disk does not read, of files whose paths end in a text; through a map, nor what
  /// follows them.
  package var badSectors: [String: Range<Int>]

  package init(
    failures: [Failure] = [], crashOperation: Int? = nil, capacity: ByteCount? = nil,
    badSectors: [String: Range<Int>] = [:]
  ) {
    self.failures = failures
    self.crashOperation = crashOperation
    self.capacity = capacity
    self.badSectors = badSectors
  }

  /// The bytes of a file that the disk does not read; none where it reads all.
  func badSectors(of path: FilePath) -> Range<Int> {
    badSectors.first { path.string.hasSuffix($0.key) }?.value ?? 0..<0
  }

  /// Nothing goes wrong.
  package static let none = Self()

  /// The machine dies in the middle of a mutating call, counted from 1.
  package static func crash(at operation: Int) -> Self { Self(crashOperation: operation) }
}

/// How a ``FaultPlan`` has come along: counts calls and says which of them fail.
struct FaultProgress: Sendable {
  enum Verdict {
    case proceed
    case fail(IOFailure, bytesWritten: Int)
    /// The machine dies while this call is under way.
    case die(IOFailure)
  }

  var plan: FaultPlan {
    didSet { matches = Array(repeating: 0, count: plan.failures.count) }
  }
  private(set) var operationCount = 0
  private(set) var isDead = false
  /// How many calls the plan has let fail.
  private(set) var failureCount = 0
  private var matches: [Int]

  init(_ plan: FaultPlan) {
    self.plan = plan
    matches = Array(repeating: 0, count: plan.failures.count)
  }

  /// Called once at the beginning of every call; `isMutating` ones are numbered.
  mutating func begin(
    _ operation: IOFailure.Operation, _ path: FilePath, isMutating: Bool
  ) -> Verdict {
    let death = IOFailure(operation, path, .ioError, isInjected: true)
    if isDead { return .fail(death, bytesWritten: 0) }
    if isMutating {
      operationCount += 1
      if operationCount == plan.crashOperation {
        isDead = true
        return .die(death)
      }
    }
    var verdict = Verdict.proceed
    for (index, failure) in plan.failures.enumerated()
    where applies(failure, index, operation, path, isMutating: isMutating) {
      let injected = IOFailure(operation, path, failure.reason, isInjected: true)
      verdict = .fail(injected, bytesWritten: failure.bytesWritten)
    }
    if case .fail = verdict { failureCount += 1 }
    return verdict
  }

  private mutating func applies(
    _ failure: FaultPlan.Failure, _ index: Int, _ operation: IOFailure.Operation,
    _ path: FilePath, isMutating: Bool
  ) -> Bool {
    switch failure.trigger {
    case .operation(let number):
      guard isMutating else { return false }
      return operationCount == number || failure.isLasting && operationCount > number
    case .call(let kind, let suffix, let nth):
      guard kind == operation, path.string.hasSuffix(suffix) else { return false }
      matches[index] += 1
      return matches[index] == nth || failure.isLasting && matches[index] > nth
    }
  }
}
