package import ArgumentParser

/// Runs a command from its arguments to its exit status.
package enum CommandRunner {
  /// Parses and runs.
  ///
  /// Help goes to standard output; every error is one line that begins with `millrace: error:`,
  /// and for wrong usage it names the help to read.
  ///
  /// - Returns: The exit status; the caller hands it to `exit`.
  package static func run<Root: ParsableCommand>(
    _ root: Root.Type, arguments: [String]? = nil
  ) async -> Int32 {
    Signals.ignoreBrokenPipes()
    do {
      if arguments == nil { try RawArguments.check(RawArguments.own) }
      var command = try root.parseAsRoot(arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      return ExitStatus.success
    } catch OutputFailure.closedPipe {
      return ExitStatus.success
    } catch let failure as CommandFailure {
      StandardError.error(failure.message)
      return failure.status
    } catch let wrong as BadArgument {
      StandardError.error(wrong.description)
      return ExitStatus.usage
    } catch {
      return report(error, of: root)
    }
  }

  private static func report<Root: ParsableCommand>(
    _ error: any Error, of root: Root.Type
  ) -> Int32 {
    let code = root.exitCode(for: error)
    let message = root.fullMessage(for: error)
    if code.isSuccess {
      // Help and version come as errors that are none.
      var output = StandardOutput()
      do {
        if !message.isEmpty { try output.writeLine(message) }
        try output.flush()
      } catch .closedPipe {
        return ExitStatus.success
      } catch {
        StandardError.error(error.description)
        return ExitStatus.failure
      }
      return ExitStatus.success
    }
    // A status thrown on purpose: what there was to say has been said.
    if error is ExitCode { return code.rawValue }
    if code == .validationFailure {
      StandardError.line(relabelled(message))
    } else {
      StandardError.error("\(error)")
    }
    return code.rawValue
  }

  /// Makes the parser's message one line with the command's prefix.
  ///
  /// The parser says after the error how the command is used, at length; what is left of that is
  /// where to read it.
  package static func relabelled(_ message: String) -> String {
    let label = "Error: "
    let lines = message.split(whereSeparator: \.isNewline)
    let problem = lines.prefix { !$0.hasPrefix("Usage: ") && !$0.hasPrefix("Help: ") }
      .joined(separator: " ")
    var text = problem.hasPrefix(label) ? String(problem.dropFirst(label.count)) : problem
    if let hint = lines.last(where: { $0.hasPrefix("  See '") }),
      case let parts = hint.split(separator: "'"), parts.count > 1
    {
      while text.hasSuffix(".") { text.removeLast() }
      text += "; see `\(parts[1])`"
    }
    return "millrace: error: \(text)"
  }
}
