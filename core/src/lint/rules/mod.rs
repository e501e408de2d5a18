//! All rules. One is added by its file and its line here.

use super::Rule;

macro_rules! rules {
    ($($rule:ident)*) => {
        $(mod $rule;)*
        #[cfg(test)]
        pub(super) const FILES: &[&str] = &[$(stringify!($rule)),*];
        pub(super) const ALL: &[&Rule] = &[$(&$rule::RULE),*];
    };
}

rules! {
    cache_breaking_order
    consistent_instruction_casing
    copy_from_missing_path
    copy_ignored_file
    could_be_multi_stage
    duplicate_stage_name
    expose_invalid_format
    expose_proto_casing
    from_as_casing
    from_platform_flag_const_disallowed
    invalid_base_image_platform
    invalid_default_arg_in_from
    invalid_definition_description
    json_args_recommended
    legacy_key_value_format
    maintainer_deprecated
    moving_tag
    multiple_instructions_disallowed
    no_empty_continuation
    other_frontend
    package_cache_in_layer
    redundant_target_platform
    reserved_stage_name
    secret_in_layer
    secrets_used_in_arg_or_env
    stage_name_casing
    undefined_arg_in_from
    undefined_var
    unpinned_base
    unused_stage
    workdir_relative_path
}
