"""Dispatch of hydrothermal systems: policies trained by Lagrangian duality, always feasible, and SDDP beside them."""
