private import CFuzzDriver
private import Foundation

/// One kind of input, and what is done with it.
///
/// Sendable because there is only one thread.
package struct FuzzTarget: @unchecked Sendable {
  let name: String
  let seeds: () throws -> [[UInt8]]
  let examine: ([UInt8]) -> Void

  /// - Parameters:
  ///   - name: what `tools/fuzz/run` calls it.
  ///   - seeds: sound inputs, from which the fuzzer starts.
  ///   - examine: takes the bytes; whatever they are, it returns.
  package init(
    _ name: String, seeds: @escaping () throws -> [[UInt8]], examine: @escaping ([UInt8]) -> Void
  ) {
    self.name = name
    self.seeds = seeds
    self.examine = examine
  }
}

/// What every fuzz target shares: writing the seeds, calling libFuzzer, and the landmark that
/// proves that the fuzzer comes as far as it should.
package enum Fuzzing {
  // SAFETY: set before the fuzzer starts, on the one thread that there is.
  nonisolated(unsafe) private static var examine: ([UInt8]) -> Void = { _ in }

  /// Whether reaching the landmark is to be a crash.
  ///
  /// `tools/fuzz/run` asks for it before it fuzzes: a target that finds nothing in this mode would
  /// find nothing at all.
  private static let trapsAtLandmark =
    ProcessInfo.processInfo.environment["MILLRACE_FUZZ_CANARY"] != nil

  /// Runs the program, whose first argument names the target.
  ///
  /// `--seeds DIRECTORY` behind it writes the target's seeds, anything else goes to libFuzzer.
  ///
  /// - Parameter targets: what there is to choose from.
  /// - Throws: when a seed cannot be written.
  package static func run(_ targets: [FuzzTarget]) throws {
    let arguments = CommandLine.arguments
    guard arguments.count > 1, let target = targets.first(where: { $0.name == arguments[1] })
    else {
      crash("the targets are \(targets.map(\.name).joined(separator: ", "))")
    }
    if arguments.count == 4, arguments[2] == "--seeds" {
      let directory = URL(fileURLWithPath: arguments[3], isDirectory: true)
      for (number, seed) in try target.seeds().enumerated() {
        try Data(seed).write(to: directory.appendingPathComponent("seed-\(number)"))
      }
      return
    }
    examine = target.examine
    // libFuzzer does not need to know of the target's name.
    // SAFETY: the arguments live as long as the process, and there are two at least.
    var count = CommandLine.argc - 1
    CommandLine.unsafeArgv[1] = CommandLine.unsafeArgv[0]
    var values: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv + 1
    let status = LLVMFuzzerRunDriver(&count, &values) { bytes, size in
      // SAFETY: libFuzzer keeps the bytes valid for the call; the array copies them.
      Fuzzing.examine(Array(UnsafeRawBufferPointer(start: bytes, count: size)))
      return 0
    }
    exit(status)
  }

  /// Marks the place that a fuzzer must be able to reach for its target to be worth running.
  package static func landmark() {
    if trapsAtLandmark { crash("landmark reached") }
  }

  /// Ends the process as a finding.
  ///
  /// An optimised build does not print the message of a failed precondition, so `tools/fuzz/run`
  /// looks for this one.
  package static func crash(_ message: String) -> Never {
    FileHandle.standardError.write(Data("fuzzing: \(message)\n".utf8))
    abort()
  }
}
